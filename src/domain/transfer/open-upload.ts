import { BLOCK_ALGORITHM } from '../model/block-digest.js';
import { HostlerError, invalidFields } from '../model/errors.js';
import type { Clock } from '../ports/images.js';
import { deferred, orAborted } from '../model/async.js';
import type { Checkpoints } from './checkpoints.js';
import type { FileDigest, FileWriter, Chunk } from '../ports/transfers.js';
import { WrittenBlocks } from './written-blocks.js';
import { WriteBehind } from './write-behind.js';
import type { ChecksumAlgorithm, Checksum } from '../model/checksum.js';

export type UploadChecksum = Checksum & { readonly algorithm: ChecksumAlgorithm };
export type UploadPiece = Chunk | { readonly checksum: UploadChecksum };

/** The progress of an upload; all of it is written. */
export interface Committed {
  readonly offset: bigint;
  readonly zeroBytes: bigint;
}

export interface UploadOptions {
  readonly lengthBytes: bigint;
  readonly checksum?: UploadChecksum;
  /** What an earlier life of the daemon received. */
  readonly from: Committed;
  readonly expireMs: number;
  readonly onCommitted: (committed: Committed) => void;
}

export interface UploadFile {
  readonly writer: FileWriter;
  readonly checkpoints: Checkpoints;
  /** Call it before the data occupies this many bytes in all. Fails with NO_SPACE. */
  makeRoom(bytes: bigint): Promise<void>;
  /** Hashes the received data beside the writing. */
  follow(algorithm: ChecksumAlgorithm): Promise<FileDigest>;
}

interface Connection {
  readonly stop: AbortController;
  readonly over: Promise<void>;
}

/** Receives bytes, over one connection after the other, until all have arrived. */
export class OpenUpload {
  #committed: Committed;
  /** Only for data from a single connection; otherwise the file is read when it is complete. */
  #digest: FileDigest | undefined;
  readonly #blocks: WrittenBlocks;
  #connection: Connection | undefined;
  #lastCameAt: number;
  #isWhole = false;
  #ended = false;
  readonly #whole = deferred<UploadChecksum>();

  constructor(
    private readonly options: UploadOptions,
    private readonly file: UploadFile,
    private readonly clock: Clock,
  ) {
    this.#committed = options.from;
    this.#blocks = new WrittenBlocks(options.from.offset - options.from.zeroBytes);
    this.#lastCameAt = clock();
  }

  get committedBytes(): bigint {
    return this.#committed.offset;
  }

  /** Resolves when every byte has arrived, with the expected digest. */
  get whole(): Promise<UploadChecksum> {
    return this.#whole.promise;
  }

  /** It does not expire while a client sends. */
  expiresAt(): number {
    return (this.#connection === undefined ? this.#lastCameAt : this.clock()) + this.options.expireMs;
  }

  /** Ends the connection that currently sends, if any; received data is then durable. */
  async takeOver(): Promise<void> {
    this.#lastCameAt = this.clock();
    await this.#stop(new HostlerError('CANCELLED', 'another connection has taken over this upload'));
  }

  /** Accepts no more data; the sending call fails with the reason. */
  async end(why: HostlerError): Promise<void> {
    this.#ended = true;
    await this.#stop(why);
    await this.#unfollow();
  }

  /**
   * Receives bytes from `offset` on; true when all have arrived. Data received before a failure
   * stays.
   */
  async receive(offset: bigint, pieces: AsyncIterable<UploadPiece>): Promise<boolean> {
    // Of several connections at once, each ends the one before.
    do await this.takeOver();
    while (this.#connection !== undefined);
    if (this.#ended) throw new HostlerError('CANCELLED', 'the upload has ended');
    if (this.#isWhole) return true;
    if (offset !== this.committedBytes)
      throw invalidFields([{ field: 'header.offset', description: `must be ${String(this.committedBytes)}` }]);
    const over = deferred();
    const connection = { stop: new AbortController(), over: over.promise };
    this.#connection = connection;
    try {
      await this.#receive(pieces, connection.stop.signal);
    } finally {
      this.#lastCameAt = this.clock();
      this.#connection = undefined;
      over.resolve();
    }
    return this.#isWhole;
  }

  async #receive(pieces: AsyncIterable<UploadPiece>, signal: AbortSignal): Promise<void> {
    try {
      if (this.committedBytes === 0n)
        this.#digest = await this.file.follow(this.options.checksum?.algorithm ?? BLOCK_ALGORITHM);
      const checksum = (await this.#take(pieces, signal)) ?? this.options.checksum;
      if (this.committedBytes < this.options.lengthBytes) return;
      if (checksum === undefined)
        throw invalidFields([{ field: 'checksum', description: 'required: in StartUpload or as the last message' }]);
      this.#isWhole = true;
      this.#whole.resolve(checksum);
    } finally {
      if (!this.#isWhole) await this.#pause();
    }
  }

  /** The digest of all received data, if it was hashed by this algorithm during the transfer. */
  async digest(algorithm: ChecksumAlgorithm): Promise<string | undefined> {
    return this.#digest?.algorithm === algorithm ? this.#digest.digest() : undefined;
  }

  /** Received data stays for the next connection, and for the next life of the daemon. */
  async #pause(): Promise<void> {
    await this.#unfollow();
    // Otherwise its operation has ended, or the next start resumes from the previous checkpoint.
    if (!this.#ended) await this.file.checkpoints.now(this.#committed);
  }

  async #unfollow(): Promise<void> {
    await this.#digest?.close();
    this.#digest = undefined;
  }

  async #stop(why: HostlerError): Promise<void> {
    const connection = this.#connection;
    connection?.stop.abort(why);
    await connection?.over;
  }

  async #take(pieces: AsyncIterable<UploadPiece>, signal: AbortSignal): Promise<UploadChecksum | undefined> {
    const writes = new WriteBehind(this.file.writer, (end) => {
      this.#digest?.reach(end);
      this.#commit({ ...this.#committed, offset: end });
    });
    const iterator = pieces[Symbol.asyncIterator]();
    let at = this.committedBytes;
    let checksum: UploadChecksum | undefined;
    try {
      for (;;) {
        const next = await orAborted(iterator.next(), signal);
        const piece = next.done === true ? undefined : next.value;
        if (piece !== undefined && checksum !== undefined)
          throw invalidFields([{ field: 'checksum', description: 'must be the last message' }]);
        if (piece !== undefined && 'data' in piece) {
          const start = at;
          at = this.#advance(at, BigInt(piece.data.length), 'data');
          await this.file.makeRoom(this.#blocks.with(start, at));
          await writes.write(piece.data, start);
          continue;
        }
        await writes.drain();
        if (piece === undefined) return checksum;
        if ('zeros' in piece) {
          at = this.#advance(at, piece.zeros, 'zero_bytes');
          this.#digest?.skip(at);
          this.#commit({ offset: at, zeroBytes: this.#committed.zeroBytes + piece.zeros });
        } else {
          this.#assertComplete();
          ({ checksum } = piece);
        }
      }
    } finally {
      await writes.untilIdle();
    }
  }

  #advance(at: bigint, length: bigint, field: 'data' | 'zero_bytes'): bigint {
    if (at + length <= this.options.lengthBytes) return at + length;
    const description = `more than the ${String(this.options.lengthBytes)} bytes that StartUpload announced`;
    throw invalidFields([{ field, description }]);
  }

  #commit(committed: Committed): void {
    this.#committed = committed;
    this.options.onCommitted(committed);
    this.file.checkpoints.reached({ ...committed, totalBytes: this.options.lengthBytes });
  }

  #assertComplete(): void {
    if (this.committedBytes === this.options.lengthBytes) return;
    throw invalidFields([
      {
        field: 'checksum',
        description: `came after ${String(this.committedBytes)} of ${String(this.options.lengthBytes)} bytes`,
      },
    ]);
  }
}
