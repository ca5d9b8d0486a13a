import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import {
  BLOCK_BYTES,
  BlockDigests,
  blockRanges,
  type BlockRange,
  type DataExtent,
} from '../../domain/model/block-digest.js';
import type { BlockHasher } from '../../domain/verbs/digest-image.js';
import { HostlerError } from '../../domain/model/errors.js';
import { inTurns } from '../../domain/model/async.js';
import type { HashAnswer, HashJob } from './block-hasher-worker.js';
import { systemError } from '../linux/errno.js';
import { asked } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';
import type { Resolved } from '../../domain/ports/handles.js';

const WORKER = new URL('./block-hasher-worker.js', import.meta.url);
/**
 * A single thread hashes as fast as one core allows. More than 4 would only take cores from the
 * host's guests.
 */
const MAX_THREADS = 4;
/**
 * Blocks in one job of a thread: 32 MiB, so that messages cost little and a cancel takes effect
 * quickly.
 */
const JOB_BLOCKS = 8;
/** Jobs queued for each thread, so that it never waits for work. */
const JOBS_PER_THREAD = 3;

interface HashRange {
  readonly run: BlockRange;
  /** Digests of the blocks; unset for a range of zeros. */
  readonly digests?: Promise<Uint8Array>;
}

/** Hashes blocks in its own threads. */
export class ThreadedHasher implements BlockHasher {
  async digest(
    file: Resolved,
    extents: AsyncIterable<DataExtent>,
    { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes?: (bytes: bigint) => void },
  ): Promise<string> {
    try {
      const bytes = await asked(
        file.handle,
        () => open(procPath(file), constants.O_RDONLY | constants.O_NONBLOCK),
        (late) => late.close(),
      );
      const threads = new HashThreads(bytes.fd, file.lengthBytes);
      try {
        const all = new BlockDigests();
        let hashed = 0n;
        const take = async ({ run, digests }: HashRange) => {
          if (digests === undefined) {
            await inTurns(all.appendZeros(run.count), signal);
            return;
          }
          all.append(await digests);
          hashed += BigInt(run.count) * BigInt(BLOCK_BYTES);
          onBytes?.(hashed);
        };
        const waiting: HashRange[] = [];
        for await (const run of jobs(extents, file.lengthBytes)) {
          signal.throwIfAborted();
          waiting.push(run.zero ? { run } : { run, digests: threads.hash(run) });
          if (waiting.length > MAX_THREADS * JOBS_PER_THREAD) await takeFirst(waiting, take);
        }
        while (waiting.length > 0) {
          signal.throwIfAborted();
          await takeFirst(waiting, take);
        }
        return all.digest();
      } finally {
        await threads.end();
        await asked(file.handle, () => bytes.close());
      }
    } catch (error) {
      throw systemError(error, file.address);
    }
  }
}

async function takeFirst(waiting: HashRange[], take: (piece: HashRange) => Promise<void>): Promise<void> {
  const first = waiting.shift();
  if (first !== undefined) await take(first);
}

async function* jobs(extents: AsyncIterable<DataExtent>, lengthBytes: bigint): AsyncGenerator<BlockRange> {
  for await (const run of blockRanges(extents, lengthBytes)) {
    if (run.zero) yield run;
    else
      for (let done = 0; done < run.count; done += JOB_BLOCKS)
        yield { first: run.first + done, count: Math.min(JOB_BLOCKS, run.count - done), zero: false };
  }
}

/** The threads are started when the first job arrives. */
class HashThreads {
  readonly #threads: HashThread[] = [];

  constructor(
    private readonly fd: number,
    private readonly lengthBytes: bigint,
  ) {}

  /** The digests of the blocks in the range, concatenated. */
  hash({ first, count }: BlockRange): Promise<Uint8Array> {
    const offset = BigInt(first) * BigInt(BLOCK_BYTES);
    const left = this.lengthBytes - offset;
    const wanted = BigInt(count) * BigInt(BLOCK_BYTES);
    const { fd } = this;
    const result = this.#thread().hash({ fd, offset, length: Number(left < wanted ? left : wanted) });
    result.catch(() => undefined); // avoids unhandledRejection; the caller awaits it in its order
    return result;
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  #thread(): HashThread {
    const idle = [...this.#threads].sort((a, b) => a.waiting - b.waiting)[0];
    if (idle !== undefined && (idle.waiting === 0 || this.#threads.length >= limit())) return idle;
    const thread = new HashThread();
    this.#threads.push(thread);
    return thread;
  }
}

function limit(): number {
  return Math.min(MAX_THREADS, availableParallelism());
}

interface Waiting {
  readonly resolve: (digests: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

class HashThread {
  readonly #worker = new Worker(WORKER);
  readonly #waiting: Waiting[] = [];

  constructor() {
    this.#worker.on('message', (answer: HashAnswer) => {
      const first = this.#waiting.shift();
      if ('digests' in answer) first?.resolve(answer.digests);
      else first?.reject(Object.assign(new Error(answer.text), { code: answer.code }));
    });
    this.#worker.once('error', (cause) => this.#fail(cause));
    this.#worker.once('exit', () => this.#fail(undefined));
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  hash(job: HashJob): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(job);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(cause: unknown): void {
    for (const { reject } of this.#waiting.splice(0))
      reject(new HostlerError('BUG', 'a thread that hashes broke', { cause }));
  }
}
