import { Worker } from 'node:worker_threads';
import { lookAtFiles, type FileLook, type FilesToLookAt } from './file-look.js';

const WORKER = new URL('./inventory-look-worker.js', import.meta.url);
/**
 * As many as the cores that such a host can spare; the thread of the inventory writes at the same
 * time.
 */
const THREADS = 2;
/** Fewer files than this are examined before the threads have started. */
const MANY_FILES = 2000;
/** Each file leaves some KiB of garbage; a smaller heap would be collected all the time. */
const HEAP = { maxYoungGenerationSizeMb: 24, maxOldGenerationSizeMb: 128 };

interface Asked {
  readonly resolve: (looks: readonly FileLook[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread and its queued jobs, in order. */
interface Thread {
  readonly worker: Worker;
  readonly jobs: Asked[];
}

/**
 * Examines many files: the first in this thread, the others in worker threads, which `end` stops.
 */
export class LookThreads {
  #looked = 0;
  #threads: Thread[] = [];

  /** How many jobs run at a time; more are queued. */
  get width(): number {
    return this.#threads.length === 0 ? 1 : 2 * THREADS;
  }

  /** Results in the order of the names. Throws errors that are not system errors. */
  async look(job: FilesToLookAt): Promise<readonly FileLook[]> {
    this.#looked += job.names.length;
    if (this.#threads.length === 0 && this.#looked > MANY_FILES) this.#start();
    const [thread] = this.#threads.toSorted((a, b) => a.jobs.length - b.jobs.length);
    if (thread === undefined) return lookAtFiles(job);
    return new Promise((resolve, reject) => {
      thread.jobs.push({ resolve, reject });
      thread.worker.postMessage(job);
    });
  }

  end(): void {
    for (const { worker } of this.#threads.splice(0)) worker.postMessage('end');
  }

  #start(): void {
    this.#threads = Array.from({ length: THREADS }, () => {
      const thread: Thread = { worker: new Worker(WORKER, { resourceLimits: HEAP }), jobs: [] };
      const fail = (error: unknown) => {
        this.#threads = this.#threads.filter((each) => each !== thread);
        for (const { reject } of thread.jobs.splice(0)) reject(error);
      };
      thread.worker.on('message', (looks: readonly FileLook[]) => thread.jobs.shift()?.resolve(looks));
      thread.worker.on('error', fail);
      thread.worker.on('exit', () => fail(new Error('a thread that looks at files has ended')));
      return thread;
    });
  }
}
