import type { ImageAddress } from '../../model/address.js';
import type { Run, Taker } from '../verb.js';
import type { FileRef } from '../../ports/handles.js';

/** Space that is reserved at a time: a reservation costs less than writing a part of it. */
export const STEP_BYTES = 16n << 20n;

/**
 * Space for a file that grows without a known end: reserved a step ahead of what is written, so
 * that the last bytes of the filesystem stay free.
 */
export class GrowingSpace {
  #bytes = 0n;
  #release: () => void = () => undefined;

  /** @param file the growing file: its allocated bytes count as taken */
  constructor(
    private readonly run: Pick<Run, 'reserve'>,
    private readonly target: ImageAddress,
    private readonly file: FileRef | Taker,
  ) {}

  /**
   * Reserves the announced length, to the byte, before anything is written. Bytes beyond it are
   * reserved in steps. Fails with NO_SPACE.
   */
  async announced(bytes: bigint): Promise<void> {
    this.#release = await this.run.reserve(this.target, bytes, this.file);
    this.#bytes = bytes;
  }

  /** Call it before this many bytes of data in all are written. Fails with NO_SPACE. */
  async upTo(bytes: bigint): Promise<void> {
    if (bytes <= this.#bytes) return;
    const wanted = bytes + STEP_BYTES;
    this.release();
    this.#release = await this.run.reserve(this.target, wanted, this.file);
    this.#bytes = wanted;
  }

  /** Releases the reservation: the file's space is allocated. */
  release(): void {
    this.#release();
    [this.#bytes, this.#release] = [0n, () => undefined];
  }
}
