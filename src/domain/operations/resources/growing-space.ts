import type { ImageAddress } from '../../model/address.js';
import type { Run, Taker } from '../verb.js';
import type { FileRef } from '../../ports/handles.js';

/** So much is reserved at a time: asking for it costs less than writing a piece of it. */
export const STEP_BYTES = 16n << 20n;

/**
 * Space for a file that grows without a known end: reserved a step ahead of what is written, so
 * that the last bytes stay free.
 */
export class GrowingSpace {
  #bytes = 0n;
  #release: () => void = () => undefined;

  /** @param file what grows: what it takes by now is known to be taken */
  constructor(
    private readonly run: Pick<Run, 'reserve'>,
    private readonly target: ImageAddress,
    private readonly file: FileRef | Taker,
  ) {}

  /**
   * Before anything is written: what is announced, to the byte. What comes beyond it is reserved in
   * steps. Fails with NO_SPACE.
   */
  async announced(bytes: bigint): Promise<void> {
    this.#release = await this.run.reserve(this.target, bytes, this.file);
    this.#bytes = bytes;
  }

  /** Before so many bytes of data in all are written. Fails with NO_SPACE. */
  async upTo(bytes: bigint): Promise<void> {
    if (bytes <= this.#bytes) return;
    const wanted = bytes + STEP_BYTES;
    this.release();
    this.#release = await this.run.reserve(this.target, wanted, this.file);
    this.#bytes = wanted;
  }

  /** What it takes it has taken. */
  release(): void {
    this.#release();
    [this.#bytes, this.#release] = [0n, () => undefined];
  }
}
