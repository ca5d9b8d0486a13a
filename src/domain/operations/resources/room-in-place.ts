import type { Run } from '../verb.js';
import type { Files, InPlace } from '../../ports/images.js';
import { STEP_BYTES } from './growing-space.js';

/**
 * Space for writes into an existing file: into holes, beyond its end, and over blocks that it
 * shares with a clone. Reserved a step ahead of what is written, so that the last bytes of the
 * filesystem stay free; blocks that only the file has need none.
 */
export class RoomInPlace {
  #endBytes = 0n;
  #release: () => void = () => undefined;

  /** @param aheadBytes reserved beyond what is written; `end`: offsets count from the file's end */
  constructor(
    private readonly run: Pick<Run, 'reserveFor'>,
    private readonly files: Pick<Files, 'newRoom'>,
    private readonly file: InPlace,
    private readonly aheadBytes: bigint | 'end' = STEP_BYTES,
  ) {}

  /** Call it before a chunk is written; chunks come in order. Fails with NO_SPACE. */
  async before(offsetBytes: bigint, lengthBytes: bigint): Promise<void> {
    const end = offsetBytes + lengthBytes;
    if (end <= this.#endBytes) return;
    const appends = this.aheadBytes === 'end';
    const ahead = end + (this.aheadBytes === 'end' ? STEP_BYTES : this.aheadBytes);
    const length = this.file.lengthBytes;
    // On a full disk the existing bytes can be overwritten up to the file's end.
    this.#endBytes = appends || end > length || ahead < length ? ahead : length;
    const range = { offsetBytes, lengthBytes: this.#endBytes - offsetBytes };
    const needed = appends ? range.lengthBytes : await this.files.newRoom(this.file, range);
    // The earlier reservation has been used.
    this.#release();
    this.#release = await this.run.reserveFor(this.file, needed);
  }
}
