import type { Run } from '../verb.js';
import type { Files, InPlace } from '../../ports/images.js';
import { STEP_BYTES } from './growing-space.js';

/**
 * Space for what is written into a file where it is: into holes, beyond its end, and over blocks
 * that it shares with a clone. Reserved a step ahead of what is written, so that the last bytes
 * stay free; what the file has for itself needs none.
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

  /** Before a piece is written; pieces come in order. Fails with NO_SPACE. */
  async before(offsetBytes: bigint, lengthBytes: bigint): Promise<void> {
    const end = offsetBytes + lengthBytes;
    if (end <= this.#endBytes) return;
    const appends = this.aheadBytes === 'end';
    const ahead = end + (this.aheadBytes === 'end' ? STEP_BYTES : this.aheadBytes);
    const length = this.file.lengthBytes;
    // On a disk that is full what is there can be written over up to its end.
    this.#endBytes = appends || end > length || ahead < length ? ahead : length;
    const range = { offsetBytes, lengthBytes: this.#endBytes - offsetBytes };
    const needed = appends ? range.lengthBytes : await this.files.newRoom(this.file, range);
    // What was reserved before has been taken.
    this.#release();
    this.#release = await this.run.reserveFor(this.file, needed);
  }
}
