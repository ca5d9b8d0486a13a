import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../../domain/model/errors.js';
import { errorText } from '../../telemetry/log.js';
import type { ListAnswer, ListQuestion } from './list-protocol.js';

const WORKER = new URL('./list-worker.js', import.meta.url);
/** The thread caches names for the next page; after this time no next page is expected. */
const IDLE_MS = 60_000;

interface Waiting {
  readonly resolve: (answer: ListAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that lists folders. It runs only while lists are being read. */
export class ListThread {
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #idle: NodeJS.Timeout | undefined;
  #next = 0;

  /** A new id for the questions about one page. */
  newId(): number {
    return this.#next++;
  }

  /** The answer may never arrive if a filesystem hangs. */
  ask(question: Exclude<ListQuestion, { kind: 'end' }>): Promise<ListAnswer> {
    clearTimeout(this.#idle);
    return new Promise((resolve, reject) => {
      this.#waiting.set(question.id, { resolve, reject });
      this.#start().postMessage(question);
    });
  }

  /** Tells the thread that no more questions about this page follow. */
  end(id: number): void {
    this.#worker?.postMessage({ id, kind: 'end' } satisfies ListQuestion);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      this.#stop();
    }, IDLE_MS).unref();
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(WORKER);
    worker.unref();
    worker.on('message', (answer: ListAnswer) => {
      this.#waiting.get(answer.id)?.resolve(answer);
      this.#waiting.delete(answer.id);
    });
    worker.on('error', (cause: unknown) => {
      // The next question starts another thread.
      if (this.#worker === worker) this.#worker = undefined;
      for (const { reject } of this.#waiting.values())
        reject(new HostlerError('BUG', `the thread of lists broke: ${errorText(cause) ?? 'unknown'}`, { cause }));
      this.#waiting.clear();
    });
    this.#worker = worker;
    return worker;
  }

  #stop(): void {
    if (this.#waiting.size > 0) return;
    const worker = this.#worker;
    this.#worker = undefined;
    // A thread that hangs in a filesystem ends when that filesystem answers.
    void worker?.terminate();
  }
}
