import type { ByteSource } from '../../ports/images.js';
import { HostlerError } from '../../model/errors.js';
import type { Missing } from '../../model/image-info.js';

/** A location in the file; numbers above 2^53 are not exact, but beyond every file. */
export interface TablePlace {
  readonly offset: number;
  readonly bytes: number;
}

/** Bytes of a table in one read. */
const SLICE_BYTES = 1 << 20;
/** Limit of remembered tables, 40 MiB: a table that is named twice is read once. */
const MAX_REMEMBERED = 1 << 20;
/** Cost of reaching a table, expressed in bytes of tables. */
const TABLE_COST_BYTES = 512;

/** Records which locations that an image names lie beyond the end of its file. */
export class MissingPlaces {
  readonly lengthBytes: number;
  readonly #read = new Set<number>();
  #first: { readonly what: string; readonly at: number } | undefined;
  #places = 0;
  #end = 0;

  /**
   * @param spend called with a number of bytes before they are read; an error that it throws ends
   * the walk
   */
  constructor(
    readonly bytes: ByteSource,
    readonly spend: (bytes: number) => void = () => undefined,
  ) {
    this.lengthBytes = Number(bytes.lengthBytes);
  }

  get missing(): Missing | undefined {
    const { lengthBytes } = this;
    if (this.#first === undefined) return undefined;
    const { what, at } = this.#first;
    return { what, atBytes: at, places: this.#places, lengthBytes, endBytes: this.#end };
  }

  /**
   * A header that its format's reader has found here; zeros after the end of the file. Fails with
   * IMAGE_MALFORMED if the file ends before it.
   */
  async header(offset: bigint, bytes: number): Promise<Buffer> {
    const found = await this.bytes.read(offset, bytes);
    if (found.length === 0) throw new HostlerError('IMAGE_MALFORMED', 'its header was cut off while it was read');
    return found.length === bytes ? found : Buffer.concat([found, Buffer.alloc(bytes - found.length)]);
  }

  /** Whether the location lies in the file; one that does not is recorded. */
  has(what: string, offset: number, bytes: number): boolean {
    const end = offset + bytes;
    if (end <= this.lengthBytes) return true;
    this.#places += 1;
    if (end > this.#end) this.#end = end;
    if (this.#first === undefined || offset < this.#first.at) this.#first = { what, at: offset };
    return false;
  }

  /**
   * The table in slices, with the index of the first entry of each; nothing if it is incomplete or
   * was read before.
   */
  async *table(what: string, { offset, bytes }: TablePlace, entryBytes: number): AsyncGenerator<Slice> {
    if (bytes === 0) return;
    this.spend(TABLE_COST_BYTES);
    if (!this.has(what, offset, bytes) || this.#read.has(offset)) return;
    if (this.#read.size < MAX_REMEMBERED) this.#read.add(offset);
    for (let done = 0; done < bytes; done += SLICE_BYTES) {
      const length = Math.min(SLICE_BYTES, bytes - done);
      this.spend(length);
      const data = await this.bytes.read(BigInt(offset + done), length);
      yield { data, first: done / entryBytes, count: Math.floor(data.length / entryBytes) };
    }
  }
}

export interface Slice {
  readonly data: Buffer;
  readonly first: number;
  readonly count: number;
}

/** How much of a unit of the guest's disk lies on the disk: no tool reads the rest. */
export function onDisk(diskBytes: number, startBytes: number, unitBytes: number): number {
  const left = diskBytes - startBytes;
  return left > 0 && left < unitBytes ? left : unitBytes;
}

export const TWO_32 = 2 ** 32;
