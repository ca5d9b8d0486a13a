/** Copies the guest's disk out of a qcow2 file while the rest of the file still arrives. */
import { fdatasyncSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { constants, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import {
  HEAD_BYTES,
  l2Places,
  piecesOf,
  qcow2Layout,
  type DataPiece,
  type L2Place,
  type Qcow2Layout,
} from '../../domain/formats/qcow2-data.js';
import { zstdFrameBytes } from '../../domain/formats/zstd-frame.js';
import { isZeros } from '../../domain/model/zeros.js';

const PIECE_BYTES = 1 << 20;
/** Aligned zeros of this length become holes, as `qemu-img convert` makes them. */
const BLOCK_BYTES = 4096;
/** Written bytes between syncs: the last one then has little left. */
const SYNC_BYTES = 64 << 20;
/** Tables, and pieces in them, that wait for their data; 16 MiB of memory. */
const [MOST_TABLES, MOST_PIECES] = [1024, 200_000];
/** A compressed cluster ends somewhere in its last sector. */
const SECTOR_REST = 511;

/** What the thread waits for: more of the file, or leave to write up to so many bytes in all. */
export type Wait = { readonly bytes: number } | { readonly space: number };

export interface ArrivedDisk {
  readonly virtualBytes: number;
  /** Of the guest's disk, also those that turned out to be zeros. */
  readonly dataBytes: number;
}

/** Pieces of one table, in the order of the file. */
interface Pending {
  readonly pieces: readonly DataPiece[];
  next: number;
}

/** One attempt: a file that begins anew needs another one. */
export class ArrivingDisk {
  reached = 0;
  /** Whether the file has no more bytes than were reached. */
  ended = false;
  /** Bytes that may be written in all. */
  allowed = 0;
  #written = 0;
  #synced = 0;
  #dataBytes = 0;
  /** Bytes of the file that were used. An honest image names each of its bytes once. */
  #used = 0;
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);

  /**
   * @param from descriptor of the file that arrives
   * @param to descriptor of the empty file that becomes the disk
   */
  constructor(
    private readonly from: number,
    private readonly to: number,
  ) {}

  /**
   * Yields when it has to wait. Fails if the image has to be complete to be converted, or if a tool
   * has to judge it; the disk is then not usable.
   */
  *copy(): Generator<Wait, ArrivedDisk> {
    yield* this.#until(HEAD_BYTES);
    const layout = qcow2Layout(this.#read(0, HEAD_BYTES));
    if (layout === undefined) throw new Error('it is no plain qcow2');
    const l1Bytes = layout.l1Entries * 8;
    yield* this.#until(layout.l1Offset + l1Bytes);
    const tables = l2Places(this.#read(layout.l1Offset, l1Bytes), layout);
    if (tables === undefined) throw new Error('its L1 table is corrupt');
    yield* this.#data(tables, layout);
    ftruncateSync(this.to, layout.virtualBytes);
    return { virtualBytes: layout.virtualBytes, dataBytes: this.#dataBytes };
  }

  /** Tables and pieces in the order in which they are complete. */
  *#data(tables: L2Place[], layout: Qcow2Layout): Generator<Wait> {
    tables.sort((a, b) => a.offset - b.offset);
    const pending = new Set<Pending>();
    let next = 0;
    let count = 0;
    for (;;) {
      const table = tables[next];
      const first = firstOf(pending);
      const piece = first?.pieces[first.next];
      if (table !== undefined && (piece === undefined || table.offset + layout.clusterBytes <= piece.to)) {
        next++;
        const pieces = yield* this.#table(table, layout);
        count += pieces.length;
        if (pieces.length > 0) pending.add({ pieces, next: 0 });
        if (pending.size > MOST_TABLES || count > MOST_PIECES) throw new Error('its data is too scattered');
      } else if (first !== undefined && piece !== undefined) {
        yield* piece.compressed ? this.#expand(piece, layout) : this.#move(piece, layout);
        first.next++;
        count--;
        if (first.next === first.pieces.length) pending.delete(first);
      } else return;
    }
  }

  *#table(place: L2Place, layout: Qcow2Layout): Generator<Wait, DataPiece[]> {
    yield* this.#until(place.offset + layout.clusterBytes);
    this.#use(layout.clusterBytes);
    const pieces = piecesOf(this.#read(place.offset, layout.clusterBytes), place, layout);
    if (pieces === undefined) throw new Error('an L2 table is corrupt');
    return pieces.sort((a, b) => a.to - b.to);
  }

  *#move({ from, to, guest }: DataPiece, { virtualBytes }: Qcow2Layout): Generator<Wait> {
    const length = Math.min(to - from, virtualBytes - guest);
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const bytes = Math.min(PIECE_BYTES, length - done);
      yield* this.#until(from + done + bytes);
      this.#use(Math.min(bytes, Math.max(0, this.reached - from - done)));
      yield* this.#write(this.#readInto(this.#buffer.subarray(0, bytes), from + done), guest + done);
    }
  }

  *#expand({ from, to, guest }: DataPiece, { clusterBytes, virtualBytes, zstd }: Qcow2Layout): Generator<Wait> {
    yield* this.#until(to);
    this.#use(Math.max(1, to - from - SECTOR_REST));
    const packed = this.#read(from, to - from);
    const data = zstd
      ? // Another cluster may follow in the last sector.
        zstdDecompressSync(packed.subarray(0, zstdFrameBytes(packed)), { maxOutputLength: clusterBytes })
      : inflateRawSync(packed, { maxOutputLength: clusterBytes, finishFlush: constants.Z_SYNC_FLUSH });
    if (data.length !== clusterBytes) throw new Error('a compressed cluster is too short');
    yield* this.#write(data.subarray(0, virtualBytes - guest), guest);
  }

  *#write(data: Buffer, position: number): Generator<Wait> {
    this.#dataBytes += data.length;
    for (const { start, end } of runsOfData(data)) {
      const after = this.#written + end - start;
      while (after > this.allowed) yield { space: after };
      for (let at = start; at < end;) at += writeSync(this.to, data, at, end - at, position + at);
      this.#written = after;
    }
    if (this.#written - this.#synced < SYNC_BYTES) return;
    fdatasyncSync(this.to);
    this.#synced = this.#written;
  }

  *#until(bytes: number): Generator<Wait> {
    while (this.reached < bytes && !this.ended) yield { bytes };
  }

  /** Otherwise a small file could name one cluster for a whole disk. */
  #use(bytes: number): void {
    this.#used += bytes;
    if (this.#used > this.reached) throw new Error('it names the same bytes more than once');
  }

  #read(position: number, length: number): Buffer {
    return this.#readInto(Buffer.allocUnsafe(length), position);
  }

  /** What the file does not have yet, or ends before, are zeros, which are not written. */
  #readInto(buffer: Buffer, position: number): Buffer {
    let done = 0;
    while (done < buffer.length) {
      const read = readSync(this.from, buffer, done, buffer.length - done, position + done);
      if (read === 0) break;
      done += read;
    }
    return buffer.fill(0, done);
  }
}

/** Those whose next piece ends first in the file. */
function firstOf(pending: ReadonlySet<Pending>): Pending | undefined {
  let [first, least]: [Pending | undefined, number] = [undefined, Infinity];
  for (const each of pending) {
    const end = each.pieces[each.next]?.to ?? Infinity;
    if (end < least) [first, least] = [each, end];
  }
  return first;
}

function* runsOfData(data: Buffer): Generator<{ readonly start: number; readonly end: number }> {
  let start = 0;
  for (let at = 0; at < data.length; at += BLOCK_BYTES) {
    if (!isZeros(data, at, Math.min(data.length, at + BLOCK_BYTES))) continue;
    if (at > start) yield { start, end: at };
    start = at + BLOCK_BYTES;
  }
  if (start < data.length) yield { start, end: data.length };
}
