import { crc32 } from 'node:zlib';

/** Most images of a host were made by few programs in few sizes. */
const MOST = 100;

/** Most heads that differ do so in their first bytes; the name of a base is in them, too. */
const TELLING_BYTES = 1024;

/** What was read of a file beside its head. */
export interface Part {
  readonly offset: number;
  readonly wanted: number;
  /** Never written to again. */
  readonly bytes: Buffer;
}

interface Judged<T> {
  readonly head: Buffer;
  readonly lengthBytes: number;
  readonly parts: readonly Part[];
  readonly judgement: T;
}

/**
 * Judgements of files by what was read for them: a file of which the same would be read is judged
 * the same. Reading and comparing takes a tenth of the time of a judgement.
 */
export class JudgedHeads<T> {
  readonly #judged = new Map<number, Judged<T>>();

  /** @param read the bytes of this file at an offset; fewer where it ends */
  find(head: Buffer, lengthBytes: number, read: (offset: number, wanted: number) => Buffer): T | undefined {
    const judged = this.#judged.get(keyOf(head, lengthBytes));
    if (judged?.lengthBytes !== lengthBytes || !judged.head.equals(head)) return undefined;
    const isSame = judged.parts.every(({ offset, wanted, bytes }) => read(offset, wanted).equals(bytes));
    return isSame ? judged.judgement : undefined;
  }

  /** @param parts everything that was read beside the head until the judgement */
  keep(head: Buffer, lengthBytes: number, parts: readonly Part[], judgement: T): void {
    const [oldest] = this.#judged.keys();
    if (this.#judged.size >= MOST && oldest !== undefined) this.#judged.delete(oldest);
    this.#judged.set(keyOf(head, lengthBytes), { head: Buffer.from(head), lengthBytes, parts, judgement });
  }
}

function keyOf(head: Buffer, lengthBytes: number): number {
  return crc32(head.subarray(0, TELLING_BYTES), lengthBytes % 2 ** 32);
}
