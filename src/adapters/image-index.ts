import { Worker } from 'node:worker_threads';
import type { Dependants } from '../domain/change-ports.js';
import { HostlerError } from '../domain/errors.js';
import type { FileIdentity } from '../domain/ports.js';
import { deferred, type Deferred } from '../domain/waiting.js';
import { errorText } from './log.js';
import type { Dependant } from './root-index.js';
import type { IndexJob, IndexMessage, IndexQuestion } from './root-index-worker.js';

/** A thread's own heap would grow to what suits a whole program. */
const YOUNG_MIB = 2;
const WORKER = new URL('./root-index-worker.js', import.meta.url);

export interface ImageIndexOptions {
  /** Real paths. */
  readonly roots: readonly string[];
  /** Folders that are left out, such as the daemon's own state. */
  readonly closed: readonly string[];
  /** A root that has said nothing for so long does not answer. */
  readonly patienceMs: number;
  readonly log: { stalled(root: string): void; failed(root: string, text: string): void };
}

/** Which images of the roots are backed by others: a thread for each root keeps up with what is there. */
export class ImageIndex implements Dependants {
  readonly #roots: readonly IndexedRoot[];

  constructor(options: ImageIndexOptions) {
    this.#roots = options.roots.map((root) => new IndexedRoot(root, options));
  }

  /** Begins to look at everything, in the background; a question does so too. */
  start(): void {
    for (const root of this.#roots) root.start();
  }

  /** A root that does not answer is left out: what lies elsewhere must not wait for it. */
  async of(file: FileIdentity): Promise<readonly Dependant[]> {
    const found = (await Promise.all(this.#roots.map((root) => root.ask(file)))).flat();
    // A root may lie in another.
    return [...new Map(found.map((each) => [each.path, each])).values()];
  }
}

class IndexedRoot {
  #worker: Worker | undefined;
  readonly #asked = new Map<number, Deferred<readonly Dependant[] | 'failed'>>();
  #next = 0;
  #heardAt = Date.now();
  #stalled = false;

  constructor(
    private readonly root: string,
    private readonly options: ImageIndexOptions,
  ) {}

  start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const job: IndexJob = { root: this.root, closed: this.options.closed };
    const worker = new Worker(WORKER, { workerData: job, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    worker.unref();
    worker.on('message', (message: IndexMessage) => {
      this.#hear(message);
    });
    worker.on('error', (error: unknown) => {
      // The next question starts another.
      this.#worker = undefined;
      this.options.log.failed(this.root, errorText(error));
      for (const answer of this.#asked.values()) answer.resolve('failed');
    });
    this.#worker = worker;
    return worker;
  }

  async ask({ device, inode }: FileIdentity): Promise<readonly Dependant[]> {
    // Until it is heard of again nobody waits for it.
    if (this.#stalled) return [];
    const question: IndexQuestion = { id: this.#next++, device, inode };
    const answer = deferred<readonly Dependant[] | 'failed'>();
    this.#asked.set(question.id, answer);
    this.#heardAt = Math.max(this.#heardAt, Date.now());
    this.start().postMessage(question);
    const { patienceMs } = this.options;
    const watch = setInterval(() => {
      if (Date.now() - this.#heardAt <= patienceMs) return;
      this.#stalled = true;
      this.options.log.stalled(this.root);
      answer.resolve([]);
    }, patienceMs / 4);
    try {
      const found = await answer.promise;
      if (found === 'failed')
        throw new HostlerError('IO_ERROR', `the images of the root ${this.root} cannot be looked at`, {
          facts: { path: this.root },
        });
      return found;
    } finally {
      clearInterval(watch);
      this.#asked.delete(question.id);
    }
  }

  #hear(message: IndexMessage): void {
    this.#heardAt = Date.now();
    this.#stalled = false;
    if (message.kind === 'beat') return;
    if (message.kind === 'failed') this.options.log.failed(this.root, message.text);
    this.#asked.get(message.id)?.resolve(message.kind === 'found' ? message.found : 'failed');
  }
}
