import type { FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { ImageAddress } from '../domain/address.js';
import { HostlerError } from '../domain/errors.js';
import type { FileDigest } from '../domain/transfer/ports.js';
import type { ChecksumAlgorithm } from '../domain/transfer/running-digest.js';
import { systemError } from './errno.js';
import type { DigestAnswer, DigestJob, DigestOrder } from './file-digest-worker.js';

const WORKER = new URL('./file-digest-worker.js', import.meta.url);
const YOUNG_MIB = 2;
/** The thread hears of so many bytes at a time: they are still in the page cache. */
const STEP_BYTES = 4n << 20n;

/** Digests a file in a thread of its own: whoever brings the bytes has enough to do. */
export class ThreadedDigest implements FileDigest {
  readonly #worker: Worker;
  #told = 0n;
  #reached = 0n;
  #broken: Error | undefined;

  /** @param file to read from; closed with this */
  constructor(
    private readonly file: FileHandle,
    private readonly address: ImageAddress,
    readonly algorithm: ChecksumAlgorithm,
  ) {
    const workerData: DigestJob = { fd: file.fd, algorithm };
    this.#worker = new Worker(WORKER, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    this.#worker.once('error', (error) => {
      this.#broken = error;
    });
  }

  reach(offset: bigint): void {
    this.#reached = offset;
    if (offset - this.#told >= STEP_BYTES) this.#tell();
  }

  restart(): void {
    [this.#told, this.#reached] = [0n, 0n];
    this.#say('restart');
  }

  async digest(): Promise<string> {
    this.#tell();
    const answer = await new Promise<DigestAnswer>((resolve, reject) => {
      const broken = (cause: unknown) => {
        reject(new HostlerError('BUG', 'the thread that digests broke', { cause }));
      };
      if (this.#broken !== undefined) broken(this.#broken);
      this.#worker.once('message', resolve);
      this.#worker.once('error', broken);
      this.#worker.once('exit', broken);
      this.#say('digest');
    });
    if ('digest' in answer) return answer.digest;
    throw systemError(Object.assign(new Error(answer.text), { code: answer.code }), this.address);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
    await this.file.close();
  }

  #tell(): void {
    this.#told = this.#reached;
    this.#say({ reach: Number(this.#reached) });
  }

  #say(order: DigestOrder): void {
    this.#worker.postMessage(order);
  }
}
