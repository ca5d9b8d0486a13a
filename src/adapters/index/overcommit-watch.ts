import { Worker } from 'node:worker_threads';
import type { Overcommit } from '../../domain/host/filesystem-info.js';
import type { BadFile } from './bad-files.js';
import type { OvercommitJob, OvercommitMessage } from './overcommit-worker.js';

const WORKER = new URL('./overcommit-worker.js', import.meta.url);
/** A figure to plan by may be so old. */
const FRESH_MS = 60_000;
/** Looking takes at most a tenth of the time. */
const PAUSE_PER_LOOK = 9;
/** A look that lasts so long is blocked by a filesystem that does not answer. */
const PATIENCE_MS = 600_000;
const YOUNG_MIB = 2;

/**
 * By how much sparse images of the roots may still grow; looked up in the background on request.
 */
export class OvercommitWatch implements Overcommit {
  #known: ReadonlyMap<bigint, bigint> | undefined;
  #begunAt = 0;
  #nextAt = 0;
  #busy = false;

  constructor(
    private readonly job: OvercommitJob,
    private readonly onFailed: (error: unknown) => void,
    /** Called for each bad file at each look. */
    private readonly onBad: (bad: BadFile) => void,
  ) {}

  /** The first figure is there some time after this. */
  start(): void {
    const now = Date.now();
    if (this.#busy || now < this.#nextAt) return;
    this.#nextAt = now + FRESH_MS;
    let worker;
    try {
      const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MIB };
      worker = new Worker(WORKER, { workerData: this.job, resourceLimits });
    } catch (error) {
      // There is no thread to be had now; the figure is missed by nobody who cannot do without.
      this.onFailed(error);
      return;
    }
    this.#busy = true;
    this.#begunAt = now;
    worker.unref();
    worker.on('message', (message: OvercommitMessage) => {
      if (message.kind === 'sums') this.#known = message.sums;
      else this.onBad(message.bad);
    });
    worker.once('error', this.onFailed);
    worker.once('exit', () => {
      const ended = Date.now();
      this.#nextAt = ended + Math.max(FRESH_MS, (ended - this.#begunAt) * PAUSE_PER_LOOK);
      this.#busy = false;
    });
  }

  bytes(filesystem: string): bigint | undefined {
    this.start();
    if (this.#busy && Date.now() - this.#begunAt > PATIENCE_MS) return undefined;
    return this.#known === undefined ? undefined : (this.#known.get(BigInt(filesystem)) ?? 0n);
  }
}
