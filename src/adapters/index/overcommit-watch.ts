import { Worker } from 'node:worker_threads';
import type { Overcommit } from '../../domain/host/filesystem-info.js';
import type { BadFile } from './bad-files.js';
import type { OvercommitJob, OvercommitMessage } from './overcommit-worker.js';

const WORKER = new URL('./overcommit-worker.js', import.meta.url);
/** Maximum age of a figure for planning. */
const FRESH_MS = 60_000;
/**
 * The pause after a scan is 9 times its duration, so that scans take at most a tenth of the time.
 */
const PAUSE_PER_LOOK = 9;
/** A scan that takes longer than this is blocked by a filesystem that does not answer. */
const PATIENCE_MS = 600_000;
const YOUNG_MIB = 2;

/** By how much sparse images of the roots may still grow; computed in the background on request. */
export class OvercommitWatch implements Overcommit {
  #known: ReadonlyMap<bigint, bigint> | undefined;
  #begunAt = 0;
  #nextAt = 0;
  #busy = false;

  constructor(
    private readonly job: OvercommitJob,
    private readonly onFailed: (error: unknown) => void,
    /** Called for each bad file at each scan. */
    private readonly onBad: (bad: BadFile) => void,
  ) {}

  /** Starts the first scan; the figure is available some time later. */
  start(): void {
    const now = Date.now();
    if (this.#busy || now < this.#nextAt) return;
    this.#nextAt = now + FRESH_MS;
    let worker;
    try {
      const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MIB };
      worker = new Worker(WORKER, { workerData: this.job, resourceLimits });
    } catch (error) {
      // No thread could be started. Nothing depends on this figure.
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
