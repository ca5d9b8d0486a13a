/** The space of data on a disk: a single byte occupies a block. */
import { roundUp } from '../model/size.js';

/** Block size of most filesystems. */
const BLOCK_BYTES = 4096n;

/** Counts the blocks of data that is written in order, with gaps. */
export class WrittenBlocks {
  #reached = 0n;

  /** @param bytes occupied by earlier data */
  constructor(private bytes: bigint) {}

  /** The bytes of all blocks if the range between these offsets is written too. */
  with(start: bigint, end: bigint): bigint {
    const first = start - (start % BLOCK_BYTES);
    const from = first > this.#reached ? first : this.#reached;
    const to = roundUp(end, BLOCK_BYTES);
    if (to > from) [this.bytes, this.#reached] = [this.bytes + to - from, to];
    return this.bytes;
  }
}
