import type { ImageAddress } from '../model/address.js';
import { GrowingSpace } from '../operations/resources/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { StagingFile } from '../ports/targets.js';

/**
 * Reserves space for a file that arrives: all of it if its length is known, otherwise as much as
 * has arrived.
 */
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

  /** For a body of unknown length. Fails with NO_SPACE. */
  async upTo(bytes: bigint): Promise<void> {
    await this.#growing.upTo(bytes);
  }

  /** For a body of this length, instead of the earlier reservation. Fails with NO_SPACE. */
  async forAll(bytes: bigint): Promise<void> {
    this.#growing.release();
    if (this.#all?.bytes === bytes) return;
    this.#all?.release();
    this.#all = { bytes, release: await this.run.reserve(this.target, bytes, this.file) };
  }

  /** Call it when the file is complete: its data is allocated, and its holes need no space. */
  release(): void {
    this.#all?.release();
    this.#growing.release();
  }
}
