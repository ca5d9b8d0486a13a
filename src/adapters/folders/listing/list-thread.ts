import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../../domain/model/errors.js';
import { errorText } from '../../telemetry/log.js';
import type { ListAnswer, ListQuestion } from './list-protocol.js';

const WORKER = new URL('./list-worker.js', import.meta.url);
/** What it keeps in memory is for the next page, which nobody asks for so late. */
const IDLE_MS = 60_000;

interface Waiting {
  readonly resolve: (answer: ListAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that lists folders; it runs only while somebody lists. */
export class ListThread {
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #idle: NodeJS.Timeout | undefined;
  #next = 0;

  /** For the questions about one page. */
  newId(): number {
    return this.#next++;
  }

  /** The answer may never come where a filesystem hangs. */
  ask(question: Exclude<ListQuestion, { kind: 'end' }>): Promise<ListAnswer> {
    clearTimeout(this.#idle);
    return new Promise((resolve, reject) => {
      this.#waiting.set(question.id, { resolve, reject });
      this.#start().postMessage(question);
    });
  }

  /** No more questions about this page come. */
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
      // The next question starts another.
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
    // One that hangs in a filesystem ends when that answers.
    void worker?.terminate();
  }
}
