/**
 * A thread that hashes an open file in order, while it is written or read; `file-digest.ts` starts
 * it.
 */
import { readSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { RunningDigest } from '../domain/transfer/running-digest.js';
import type { ChecksumAlgorithm } from '../domain/model/checksum.js';

export interface DigestJob {
  readonly fd: number;
  readonly algorithm: ChecksumAlgorithm;
  readonly start: bigint;
}

/**
 * Orders: everything before an offset is available; up to an offset are zeros; start again; return
 * the digest of what was reached.
 */
export type DigestOrder = { readonly reach: bigint } | { readonly skip: bigint } | 'restart' | 'digest';

export type DigestAnswer = { readonly digest: string } | { readonly code: string | undefined; readonly text: string };

const PIECE_BYTES = 1024 * 1024;

class Follower {
  readonly #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #digest: RunningDigest;
  #at: number;
  #failure: DigestAnswer | undefined;

  constructor(private readonly job: DigestJob) {
    this.#digest = new RunningDigest(job.algorithm);
    this.#at = Number(job.start);
  }

  restart(): void {
    this.#digest = new RunningDigest(this.job.algorithm);
    this.#at = Number(this.job.start);
    this.#failure = undefined;
  }

  reach(offset: number): void {
    try {
      while (this.#at < offset) this.#advance(Math.min(PIECE_BYTES, offset - this.#at));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      this.#failure ??= { code: typeof code === 'string' ? code : undefined, text: String(error) };
    }
  }

  skip(offset: bigint): void {
    this.#digest.zeros(offset - BigInt(this.#at));
    this.#at = Number(offset);
  }

  get answer(): DigestAnswer {
    return this.#failure ?? { digest: this.#digest.digest() };
  }

  #advance(wanted: number): void {
    const read = readSync(this.job.fd, this.#piece, 0, wanted, this.#at);
    // Zeros at the end are not written: the file gets its length when everything has arrived.
    if (read === 0) this.#piece.fill(0, 0, wanted);
    const data = this.#piece.subarray(0, read === 0 ? wanted : read);
    this.#digest.update(data);
    this.#at += data.length;
  }
}

if (!isMainThread) {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what ThreadedDigest gives
  const follower = new Follower(workerData as DigestJob);
  parentPort?.on('message', (order: DigestOrder) => {
    if (order === 'restart') follower.restart();
    else if (order === 'digest') parentPort?.postMessage(follower.answer);
    else if ('skip' in order) follower.skip(order.skip);
    else follower.reach(Number(order.reach));
  });
}
