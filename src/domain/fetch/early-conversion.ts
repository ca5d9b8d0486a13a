import { orAborted } from '../model/async.js';
import { HostlerError } from '../model/errors.js';
import type { ImageFacts } from '../model/image-info.js';
import { GrowingSpace } from '../operations/resources/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { ResolvedTarget, StagedImage } from '../ports/targets.js';
import type { EarlyDisk, Transfers } from '../ports/transfers.js';

/** Writes a raw image while the qcow2 that it comes from is downloaded. */
export class EarlyConversion {
  private constructor(
    readonly disk: EarlyDisk,
    private readonly space: GrowingSpace,
    private readonly run: Run,
  ) {}

  /** Fails as `Transfers.writer`. */
  static async begin(
    part: StagedImage,
    { address }: ResolvedTarget,
    run: Run,
    { transfers }: { readonly transfers: Transfers },
  ): Promise<EarlyConversion> {
    const space = new GrowingSpace(run, address, part);
    const disk = await transfers.earlyDisk(part.aside, part, address, (bytes) => space.upTo(bytes));
    return new EarlyConversion(disk, space, run);
  }

  /**
   * Bytes of data of the image, which was found to be good, when its disk is complete. Undefined if
   * it has to be converted by a tool.
   */
  async readBytes({ virtualSizeBytes }: ImageFacts): Promise<bigint | undefined> {
    this.run.phase('CONVERTING');
    await this.run.step('convert');
    const made = await orAborted(this.disk.end(), this.run.signal);
    if ('gaveUp' in made) return undefined;
    if (made.virtualSizeBytes !== virtualSizeBytes) throw new HostlerError('BUG', 'the disk has another size');
    return made.dataBytes;
  }

  async close(): Promise<void> {
    await this.disk.close();
    this.space.release();
  }
}
