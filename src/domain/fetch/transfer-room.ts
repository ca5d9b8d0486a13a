import type { ImageAddress } from '../model/address.js';
import { GrowingSpace } from '../operations/resources/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { StagingFile } from '../ports/targets.js';

/** Space for a file that comes: all of it where its length is known, else as much as has come. */
export class TransferRoom {
  readonly #growing: GrowingSpace;
  #all: { readonly bytes: bigint; readonly release: () => void } | undefined;

  constructor(
    private readonly run: Run,
    private readonly target: ImageAddress,
    private readonly file: StagingFile,
  ) {
    this.#growing = new GrowingSpace(run, target, file);
  }

  /** For a body that does not say how long it is. Fails with NO_SPACE. */
  async upTo(bytes: bigint): Promise<void> {
    await this.#growing.upTo(bytes);
  }

  /** For a body of this length, instead of what was reserved before. Fails with NO_SPACE. */
  async forAll(bytes: bigint): Promise<void> {
    this.#growing.release();
    if (this.#all?.bytes === bytes) return;
    this.#all?.release();
    this.#all = { bytes, release: await this.run.reserve(this.target, bytes, this.file) };
  }

  /** When the file is there: what it takes it has taken, and its holes take nothing. */
  release(): void {
    this.#all?.release();
    this.#growing.release();
  }
}
