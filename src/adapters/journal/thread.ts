import { Worker } from 'node:worker_threads';
import type { JournalAnswer, Asked, News, Question, ThreadJob } from './messages.js';
import type { Trouble } from './trouble.js';

const WORKER = new URL('./journal-worker.js', import.meta.url);

/** Young generation of the thread's heap: with more, it lets garbage accumulate. */
const YOUNG_MIB = 4;

/** A question was not answered, by the disk or by the thread. */
export class JournalTrouble extends Error {
  override readonly name = 'JournalTrouble';

  constructor(readonly trouble: Trouble) {
    super(trouble.why);
  }
}

interface Waiting {
  readonly resolve: (answer: JournalAnswer) => void;
  readonly timer: NodeJS.Timeout;
}

/** The main thread's side of the thread that has the journal open. */
export class JournalThread {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  /**
   * The last question, and the last one that was answered: while they differ the thread is working,
   * or hangs.
   */
  #asked = 0;
  #answered = 0;

  constructor(
    private readonly job: ThreadJob,
    private readonly onNews: (news: News) => void,
  ) {}

  /** Whether every question was answered, including those that no caller waits for any more. */
  get idle(): boolean {
    return this.#asked === this.#answered;
  }

  /** Fails with JournalTrouble; after a timeout the thread may still do what it was asked for. */
  async ask(question: Question, patienceMs: number): Promise<JournalAnswer> {
    const worker = (this.#worker ??= this.#start());
    const asked: Asked = { ...question, number: ++this.#asked };
    const answer = await new Promise<JournalAnswer>((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(asked.number);
        const why = `the disk has not answered for ${String(patienceMs)} ms`;
        resolve({ number: asked.number, trouble: { kind: 'hangs', why } });
      }, patienceMs);
      this.#waiting.set(asked.number, { resolve, timer });
      worker.postMessage(asked);
    });
    if (answer.trouble !== undefined) throw new JournalTrouble(answer.trouble);
    return answer;
  }

  /** Fails with JournalTrouble if the disk does not answer; the thread is then abandoned. */
  async close(patienceMs: number): Promise<void> {
    if (this.#worker === undefined) return;
    await this.ask({ ask: 'close' }, patienceMs);
    await this.end();
  }

  async end(): Promise<void> {
    this.#worker?.removeAllListeners();
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(WORKER, {
      workerData: this.job,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    worker.on('message', (answer: JournalAnswer) => {
      this.onNews(answer);
      if (answer.number === undefined) return;
      this.#answered = Math.max(this.#answered, answer.number);
      this.#resolve(answer.number, answer);
    });
    // The next request starts the thread again.
    worker.on('error', (error) => {
      this.#gone(error instanceof Error ? error.message : String(error));
    });
    worker.on('exit', (code) => {
      this.#gone(`the thread of the journal ended with ${String(code)}`);
    });
    return worker;
  }

  #gone(why: string): void {
    this.#worker = undefined;
    this.#answered = this.#asked;
    for (const number of this.#waiting.keys()) this.#resolve(number, { number, trouble: { kind: 'bug', why } });
  }

  #resolve(number: number, answer: JournalAnswer): void {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return;
    this.#waiting.delete(number);
    clearTimeout(waiting.timer);
    waiting.resolve(answer);
  }
}
