import { Worker } from 'node:worker_threads';
import { lookAtFiles, type FileLook, type FilesToLookAt } from './file-look.js';

const WORKER = new URL('./inventory-look-worker.js', import.meta.url);
/** Fewer files than this are examined before a thread has started. */
const MANY_FILES = 2000;
/** Jobs that the thread has at a time: it never waits for the next. */
const QUEUE = 4;
/** A smaller heap would be collected all the time. */
const HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 };

interface Asked {
  readonly resolve: (looks: readonly FileLook[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Examines many files: the first in this thread; then a worker thread has always some, which `end`
 * stops, and this one takes what goes beyond them.
 */
export class LookThreads {
  #looked = 0;
  #worker: Worker | undefined;
  /** The jobs of the worker, in order. */
  readonly #jobs: Asked[] = [];

  /** How many jobs run at a time. */
  get width(): number {
    return this.#worker === undefined ? 1 : QUEUE + 1;
  }

  /** Results in the order of the names. Throws errors that are not system errors. */
  async look(job: FilesToLookAt): Promise<readonly FileLook[]> {
    this.#looked += job.names.length;
    if (this.#worker === undefined && this.#looked > MANY_FILES) this.#worker = this.#start();
    const worker = this.#worker;
    if (worker === undefined || this.#jobs.length >= QUEUE) return lookAtFiles(job);
    return new Promise((resolve, reject) => {
      this.#jobs.push({ resolve, reject });
      worker.postMessage(job);
    });
  }

  end(): void {
    this.#worker?.postMessage('end');
    this.#worker = undefined;
  }

  #start(): Worker {
    const worker = new Worker(WORKER, { resourceLimits: HEAP });
    const fail = (error: unknown) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const { reject } of this.#jobs.splice(0)) reject(error);
    };
    worker.on('message', (looks: readonly FileLook[]) => this.#jobs.shift()?.resolve(looks));
    worker.on('error', fail);
    worker.on('exit', () => fail(new Error('a thread that looks at files has ended')));
    return worker;
  }
}
