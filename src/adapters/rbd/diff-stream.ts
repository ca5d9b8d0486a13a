import { HostlerError } from '../../domain/model/errors.js';

const HEADER = 'rbd diff v1\n';
/** Tags with their content: a name with its length, a number, or an offset and a length. */
const [FROM, TO, SIZE, DATA, ZEROS, END] = ['f', 't', 's', 'w', 'z', 'e'];
const NUMBER_BYTES = 8;

/**
 * The content of an image in the format of `rbd export-diff` (Ceph, doc/dev/rbd-diff.rst): the
 * data, in order.
 */
export class DiffStream {
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;
  #left = 0;
  #at = 0n;

  /**
   * @param sink takes data and runs of zeros in order, without gaps; long runs of zeros in steps
   */
  constructor(private readonly sink: { update(data: Buffer): void; zerosInSteps(bytes: bigint): Iterable<void> }) {}

  /** In steps, so that other work gets a turn however long a hole is. */
  *push(chunk: Buffer): Generator<void, void> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (yield* this.#step());
  }

  /** The rest of the image is zeros, in steps as for `push`. Fails if the stream was cut off. */
  *end(lengthBytes: bigint): Generator<void, void> {
    if (this.#left > 0 || this.#rest.length > 0) throw broken();
    yield* this.#skipTo(lengthBytes);
  }

  /** False if more bytes are needed. */
  *#step(): Generator<void, boolean> {
    if (!this.#begun) return this.#header();
    if (this.#left > 0) return this.#data();
    const tag = this.#rest.subarray(0, 1).toString('latin1');
    if (tag === '') return false;
    if (tag === END) return this.#drop(1);
    if (tag === SIZE) return this.#drop(1 + NUMBER_BYTES);
    if (tag === FROM || tag === TO) return this.#rest.length >= 5 && this.#drop(5 + this.#rest.readUInt32LE(1));
    if (tag !== DATA && tag !== ZEROS) throw broken();
    if (this.#rest.length < 1 + 2 * NUMBER_BYTES) return false;
    const [offset, length] = [this.#rest.readBigUInt64LE(1), this.#rest.readBigUInt64LE(1 + NUMBER_BYTES)];
    yield* this.#skipTo(offset);
    if (tag === DATA) this.#left = Number(length);
    else yield* this.#skipTo(offset + length);
    return this.#drop(1 + 2 * NUMBER_BYTES);
  }

  #header(): boolean {
    if (this.#rest.length < HEADER.length) return false;
    if (!this.#rest.subarray(0, HEADER.length).equals(Buffer.from(HEADER))) throw broken();
    this.#begun = true;
    return this.#drop(HEADER.length);
  }

  #data(): boolean {
    const piece = this.#rest.subarray(0, this.#left);
    if (piece.length === 0) return false;
    this.sink.update(piece);
    this.#left -= piece.length;
    this.#at += BigInt(piece.length);
    return this.#drop(piece.length);
  }

  *#skipTo(offset: bigint): Generator<void, void> {
    if (offset < this.#at) throw broken();
    if (offset > this.#at) yield* this.sink.zerosInSteps(offset - this.#at);
    this.#at = offset;
  }

  #drop(bytes: number): boolean {
    if (this.#rest.length < bytes) return false;
    this.#rest = this.#rest.subarray(bytes);
    return true;
  }
}

function broken(): HostlerError {
  return new HostlerError('TOOL_FAILED', 'rbd export-diff printed output of an unknown form, or ended early');
}
