/** What data takes on a disk: a byte of it takes a block. */
import { roundUp } from '../model/size.js';

/** Of most filesystems. */
const BLOCK_BYTES = 4096n;

/** Counts the blocks of what is written in order, with gaps. */
export class WrittenBlocks {
  #reached = 0n;

  /** @param bytes taken by what was written before */
  constructor(private bytes: bigint) {}

  /** The bytes that all blocks take when what lies between these offsets is written too. */
  with(start: bigint, end: bigint): bigint {
    const first = start - (start % BLOCK_BYTES);
    const from = first > this.#reached ? first : this.#reached;
    const to = roundUp(end, BLOCK_BYTES);
    if (to > from) [this.bytes, this.#reached] = [this.bytes + to - from, to];
    return this.bytes;
  }
}
