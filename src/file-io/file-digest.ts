import type { FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { HostlerError } from '../domain/model/errors.js';
import type { FileDigest } from '../domain/ports/transfers.js';
import { RunningDigest } from '../domain/transfer/running-digest.js';
import type { DigestAnswer, DigestJob, DigestOrder } from './file-digest-worker.js';
import type { ChecksumAlgorithm } from '../domain/model/checksum.js';

const WORKER = new URL('./file-digest-worker.js', import.meta.url);
const YOUNG_MIB = 2;
/**
 * The thread gets orders in steps of this many bytes, which are still in the page cache. A file
 * with less data needs no thread.
 */
const STEP_BYTES = 4n << 20n;
/** Nor does a file with few extents. */
const MAX_ORDERS = 1024;
const PIECE_BYTES = 1024 * 1024;

export interface DigestOptions {
  readonly algorithm: ChecksumAlgorithm;
  /** Offset of the first byte; unset: 0. */
  readonly start?: bigint;
  /** Translates a system error for the caller. */
  readonly wrapError: (error: unknown) => Error;
  /**
   * Waits for the close, but not too long: the thread cannot close before its reads have returned.
   */
  readonly letGo?: (closed: Promise<void>) => Promise<void>;
  /** Waits for a read with a time limit; unset: without a limit. */
  readonly inTime?: <T>(read: () => Promise<T>) => Promise<T>;
}

/**
 * Hashes a file in its own thread, while it is written or read, so that the main thread stays free.
 */
export class ThreadedDigest implements FileDigest {
  readonly algorithm: ChecksumAlgorithm;
  readonly #start: bigint;
  #worker: Worker | undefined;
  /** The offset up to which orders were sent; earlier bytes were reported, or do not count. */
  #ordered: bigint;
  #reached: bigint;
  /** Orders that wait while there is no thread. */
  #orders: DigestOrder[] = [];
  #dataBytes = 0n;
  #broken: Error | undefined;
  /** Aborted when the digest is no longer wanted. */
  readonly #closed = new AbortController();

  /** @param file to read from; closed with this */
  constructor(
    private readonly file: FileHandle,
    private readonly options: DigestOptions,
  ) {
    const { algorithm, start = 0n } = options;
    this.algorithm = algorithm;
    this.#start = start;
    [this.#ordered, this.#reached] = [start, start];
  }

  reach(offset: bigint): void {
    this.#dataBytes += offset - this.#reached;
    this.#reached = offset;
    if (offset - this.#ordered >= STEP_BYTES) this.#order();
  }

  skip(offset: bigint): void {
    this.#order();
    [this.#ordered, this.#reached] = [offset, offset];
    this.#say({ skip: offset });
  }

  restart(): void {
    [this.#ordered, this.#reached] = [this.#start, this.#start];
    this.#say('restart');
  }

  async digest(): Promise<string> {
    this.#order();
    try {
      return await (this.#worker === undefined ? this.#here() : this.#ask(this.#worker));
    } catch (error) {
      throw this.options.wrapError(error);
    }
  }

  async close(): Promise<void> {
    const { letGo = (closed: Promise<void>) => closed } = this.options;
    await letGo(this.#end());
  }

  async #end(): Promise<void> {
    this.#closed.abort();
    await this.#worker?.terminate();
    await this.file.close();
  }

  async #ask(worker: Worker): Promise<string> {
    const answer = await new Promise<DigestAnswer>((resolve, reject) => {
      const broken = (cause: unknown) => {
        reject(new HostlerError('BUG', 'the thread that digests broke', { cause }));
      };
      if (this.#broken !== undefined) broken(this.#broken);
      worker.once('message', resolve);
      worker.once('error', broken);
      worker.once('exit', broken);
      this.#say('digest');
    });
    if ('digest' in answer) return answer.digest;
    throw Object.assign(new Error(answer.text), { code: answer.code });
  }

  #order(): void {
    if (this.#ordered === this.#reached) return;
    this.#ordered = this.#reached;
    this.#say({ reach: this.#reached });
  }

  #say(order: DigestOrder): void {
    if (this.#worker === undefined && (this.#dataBytes >= STEP_BYTES || this.#orders.length >= MAX_ORDERS))
      this.#begin();
    if (this.#worker === undefined) this.#orders.push(order);
    else this.#worker.postMessage(order);
  }

  #begin(): void {
    const workerData: DigestJob = { fd: this.file.fd, algorithm: this.algorithm, start: this.#start };
    const worker = new Worker(WORKER, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    worker.once('error', (error: unknown) => {
      this.#broken = error instanceof Error ? error : new Error(String(error));
    });
    for (const order of this.#orders.splice(0)) worker.postMessage(order);
    this.#worker = worker;
  }

  /** Hashes the few bytes here, without a thread. */
  async #here(): Promise<string> {
    let [digest, at] = [new RunningDigest(this.algorithm), this.#start];
    for (const order of this.#orders.splice(0)) {
      if (order === 'restart') {
        [digest, at] = [new RunningDigest(this.algorithm), this.#start];
      } else if (typeof order === 'object' && 'skip' in order) {
        await digest.take({ zeros: order.skip - at }, this.#closed.signal);
        at = order.skip;
      } else if (typeof order === 'object') {
        await this.#read(digest, at, order.reach);
        at = order.reach;
      }
    }
    return digest.digest();
  }

  async #read(digest: RunningDigest, from: bigint, to: bigint): Promise<void> {
    for (let at = from; at < to;) {
      const wanted = to - at < BigInt(PIECE_BYTES) ? Number(to - at) : PIECE_BYTES;
      const position = Number(at);
      const read = () => this.file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
      const { buffer, bytesRead } = await (this.options.inTime?.(read) ?? read());
      // Zeros at the end are not written.
      if (bytesRead === 0) return digest.take({ zeros: to - at }, this.#closed.signal);
      digest.update(buffer.subarray(0, bytesRead));
      at += BigInt(bytesRead);
    }
  }
}
