import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { deferred } from '../../domain/model/async.js';
import type { FrontJob, FrontNews } from './nbd-front-worker.js';

const WORKER = new URL('./nbd-front-worker.js', import.meta.url);
const YOUNG_MIB = 4;
const TRY_LATER_MS = 10_000;

/**
 * A TCP listener in front of a tool that listens on a private socket. qemu-nbd 7.2 does not switch
 * off Nagle's algorithm for TLS connections: each small answer would wait for the acknowledgement
 * of the previous one, 40 ms later (block status is queried extent by extent).
 */
export class NbdFront {
  #connections = 0;
  readonly #port = deferred<number>();
  readonly #worker: Worker;

  /**
   * @param onFailed called once with the reason why the export is not served, or no longer:
   * IO_ERROR, TOO_MANY_OPERATIONS if every port is in use
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

  /** The port it listens on; pending as long as it does not listen. */
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
