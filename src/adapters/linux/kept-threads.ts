import { Worker } from 'node:worker_threads';

/** Without a limit the heap of a thread grows to what suits a whole program. */
const HEAP = { maxYoungGenerationSizeMb: 2 };
/** One more than these ends when it has had no job for so long. */
const ALWAYS_KEPT = 2;
const IDLE_MS = 300_000;

interface Work<Message> {
  readonly onMessage: (message: Message) => void;
  readonly reject: (error: Error) => void;
}

interface Thread<Message> {
  readonly worker: Worker;
  work: Work<Message> | undefined;
  idle: NodeJS.Timeout | undefined;
}

/**
 * Threads that do one job at a time and are kept for the next one. A thread in which koffi has made
 * a call leaves three memory mappings behind when it ends, and a process may have 65,530 of them
 * (vm.max_map_count): with one thread for each call the daemon would eventually fail. The thread
 * gets each job as a message and answers with messages; the last one ends the job.
 */
export class KeptThreads<Job, Message> {
  readonly #idle: Thread<Message>[] = [];

  /** @param isLast whether a message ends its job */
  constructor(
    private readonly file: URL,
    private readonly isLast: (message: Message) => boolean,
  ) {}

  /**
   * Returns the last message. Fails with an uncaught error of the thread; errors of `onMessage` are
   * not caught.
   */
  run(job: Job, onMessage: (message: Message) => void = () => undefined): Promise<Message> {
    const thread = this.#idle.pop() ?? this.#start();
    return new Promise((resolve, reject) => {
      thread.work = {
        onMessage: (message) => {
          if (!this.isLast(message)) {
            onMessage(message);
            return;
          }
          this.#keep(thread);
          resolve(message);
        },
        reject,
      };
      clearTimeout(thread.idle);
      thread.worker.ref();
      thread.worker.postMessage(job);
    });
  }

  #keep(thread: Thread<Message>): void {
    thread.work = undefined;
    thread.worker.unref();
    this.#idle.push(thread);
    thread.idle = setTimeout(() => {
      if (this.#idle.length > ALWAYS_KEPT) this.#end(thread);
    }, IDLE_MS).unref();
  }

  #end(thread: Thread<Message>): void {
    this.#idle.splice(this.#idle.indexOf(thread), 1);
    void thread.worker.terminate();
  }

  #start(): Thread<Message> {
    const worker = new Worker(this.file, { resourceLimits: HEAP });
    const thread: Thread<Message> = { worker, work: undefined, idle: undefined };
    const fail = (error: Error) => {
      const at = this.#idle.indexOf(thread);
      if (at >= 0) this.#idle.splice(at, 1);
      clearTimeout(thread.idle);
      thread.work?.reject(error);
      thread.work = undefined;
    };
    thread.worker.on('message', (message: Message) => thread.work?.onMessage(message));
    thread.worker.on('error', fail);
    thread.worker.on('exit', () => {
      fail(new Error('the thread has ended'));
    });
    return thread;
  }
}
