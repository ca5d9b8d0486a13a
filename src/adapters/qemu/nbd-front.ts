import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { deferred } from '../../domain/model/async.js';
import type { FrontJob, FrontNews } from './nbd-front-worker.js';

const WORKER = new URL('./nbd-front-worker.js', import.meta.url);
const YOUNG_MIB = 4;
const TRY_LATER_MS = 10_000;

/**
 * TCP before a tool that listens on a socket of its own. qemu-nbd 7.2 does not switch Nagle's
 * algorithm off for connections with TLS: each small answer would wait for the acknowledgement of
 * the one before it, 40 ms later (block status is asked extent by extent).
 */
export class NbdFront {
  #connections = 0;
  readonly #port = deferred<number>();
  readonly #worker: Worker;

  /**
   * @param onFailed hears once why nothing is served, or no longer: IO_ERROR, TOO_MANY_OPERATIONS
   * when every port is taken
   */
  constructor(job: FrontJob, onFailed: (error: HostlerError) => void) {
    this.#worker = new Worker(WORKER, { workerData: job, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    this.#worker.on('message', (news: FrontNews) => {
      if ('connections' in news) this.#connections = news.connections;
      else if (news.port !== undefined) this.#port.resolve(news.port);
      else
        onFailed(
          new HostlerError('TOO_MANY_OPERATIONS', 'every port for exports is taken', { retryAfterMs: TRY_LATER_MS }),
        );
    });
    this.#worker.once('error', (cause) => {
      onFailed(new HostlerError('IO_ERROR', `no exports at ${job.address}: ${String(cause)}`, { cause }));
    });
  }

  /** Where it listens; pending when it does not. */
  get port(): Promise<number> {
    return this.#port.promise;
  }

  get connections(): number {
    return this.#connections;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
