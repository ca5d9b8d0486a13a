import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { deferred, orAborted, type Deferred } from '../../domain/model/async.js';
import type { Generation } from '../../domain/ports/inventory.js';
import type { Root } from '../paths/roots.js';
import { errorText } from '../telemetry/log.js';
import { bytesOf } from './inventory-look.js';
import {
  WATCHED_MS,
  type InventoryAnswer,
  type InventoryJob,
  type InventoryMessage,
  type InventoryQuestion,
} from './messages.js';

const WORKER = new URL('./inventory-worker.js', import.meta.url);
/** The default heap of a thread is sized for a whole program. */
const HEAP = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256 };
/** The thread ends when no request arrives for this time. */
const IDLE_MS = 300_000;

/** Before it scans the root, a thread checks its database, which takes seconds if that is large. */
const MOST_OPENING_MS = 60_000;

const STALLED = 'stalled';

type Question<Kind> = Extract<InventoryQuestion, { readonly kind: Kind }>;
type Answer<Kind> = Extract<InventoryAnswer, { readonly kind: Kind }>;

export interface RootInventoryOptions {
  readonly root: Root;
  /** Path of the database. */
  readonly file: string;
  readonly closed: readonly string[];
  /** Real path of the folder of the instances. */
  readonly instances: string;
  /** How long a root may be silent before it counts as not answering. */
  readonly patienceMs: number;
  /** Called for each scan that failed. */
  failed(root: string, cause: string | undefined): void;
}

/** The inventory of one root: a thread that lives as long as requests arrive. */
export class RootInventory {
  #worker: Worker | undefined;
  /** The root's identity as the thread knows it. */
  #identity = '';
  readonly #asked = new Map<number, Deferred<InventoryAnswer>>();
  #next = 0;
  #heardAt = 0;
  /** Whether the thread has opened the root. */
  #isOpen = false;
  #number = -1;
  #watchers = 0;
  #idle: NodeJS.Timeout | undefined;
  readonly #movers = new Set<() => void>();

  constructor(private readonly options: RootInventoryOptions) {}

  /** Fails with GENERATION_TOO_OLD, ROOT_STALLED, ROOT_UNAVAILABLE. */
  async page(question: Question<'page'>): Promise<Answer<'page'>> {
    const answer = await this.#ask(question);
    if (answer.kind === 'page') return answer;
    throw failureOf(answer, this.options);
  }

  /** Fails as `page`. */
  async changes(question: Question<'changes'>): Promise<Answer<'changes'>> {
    const answer = await this.#ask(question);
    if (answer.kind === 'changes') return answer;
    throw failureOf(answer, this.options);
  }

  /** Fails with ROOT_STALLED, ROOT_UNAVAILABLE. */
  async dependants(question: Question<'dependants'>): Promise<Answer<'dependants'>> {
    const answer = await this.#ask(question);
    if (answer.kind === 'dependants') return answer;
    throw failureOf(answer, this.options);
  }

  async #ask(question: InventoryQuestion): Promise<InventoryAnswer> {
    const { patienceMs, root } = this.options;
    await root.gate.follow();
    const id = this.#next++;
    const answer = deferred<InventoryAnswer>();
    this.#asked.set(id, answer);
    this.#heardAt = Date.now();
    this.#start().postMessage({ id, question });
    const watch = setInterval(() => {
      const silentMs = Date.now() - this.#heardAt;
      if (this.#isOpen && silentMs > patienceMs) answer.resolve({ kind: 'gone', why: STALLED });
      if (silentMs > Math.max(patienceMs, MOST_OPENING_MS))
        answer.resolve({ kind: 'failed', text: 'the check of its file does not end', ofState: true });
    }, patienceMs / 4);
    try {
      return await answer.promise;
    } finally {
      clearInterval(watch);
      this.#asked.delete(id);
    }
  }

  /**
   * Resolves when the inventory is at another number, or after some seconds. Fails with the
   * signal's reason.
   */
  async moved({ number }: Generation, signal: AbortSignal): Promise<void> {
    this.#watchers += 1;
    const { promise, resolve } = deferred();
    // A watcher asks again now and then, and so learns of a thread that failed.
    const timer = setTimeout(resolve, WATCHED_MS / 2);
    const onMoved = () => {
      if (this.#number !== number) resolve();
    };
    this.#movers.add(onMoved);
    try {
      this.#start().postMessage('watched');
      onMoved();
      await orAborted(promise, signal);
    } finally {
      this.#movers.delete(onMoved);
      clearTimeout(timer);
      this.#watchers -= 1;
    }
  }

  #start(): Worker {
    this.#idle?.refresh();
    const { root, file, closed } = this.options;
    const { device, inode } = root.identity;
    const identity = `${String(device)}:${String(inode)}`;
    if (this.#worker !== undefined && this.#identity === identity) return this.#worker;
    this.#end();
    this.#identity = identity;
    const path = bytesOf(root.realPath === '/' ? '' : root.realPath);
    const job: InventoryJob = {
      root: path,
      identity: { device, inode },
      closed: closed.map(bytesOf),
      file,
      local: root.gate.isLocal,
      instances: bytesOf(this.options.instances),
    };
    const worker = new Worker(WORKER, { workerData: job, resourceLimits: HEAP });
    worker.unref();
    worker.on('message', (message: InventoryMessage) => {
      if (this.#worker === worker) this.#hear(message);
    });
    worker.on('error', (error: unknown) => {
      this.#lost(worker, errorText(error) ?? 'unknown', error instanceof Error && 'errno' in error);
    });
    worker.on('exit', () => {
      this.#lost(worker, 'the thread has ended', true);
    });
    this.#worker = worker;
    this.#isOpen = false;
    this.#idle ??= setTimeout(() => this.#rest(), IDLE_MS).unref();
    this.#idle.refresh();
    return worker;
  }

  /** The next question starts another thread. */
  #lost(worker: Worker, text: string, ofState: boolean): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const answer of this.#asked.values()) answer.resolve({ kind: 'failed', text, ofState });
  }

  /** A thread that hangs in a system call ends when the call returns. */
  #end(): void {
    this.#worker?.postMessage('end');
    this.#worker = undefined;
  }

  #rest(): void {
    if (this.#watchers > 0 || this.#asked.size > 0) this.#idle?.refresh();
    else this.#end();
  }

  #hear(message: InventoryMessage): void {
    this.#heardAt = Date.now();
    this.#isOpen = true;
    if (message.kind === 'answer') this.#asked.get(message.id)?.resolve(message.answer);
    if (message.kind === 'failed') this.options.failed(this.options.root.path, message.text);
    if (message.kind !== 'moved') return;
    this.#number = message.number;
    for (const each of [...this.#movers]) each();
  }
}

function failureOf(answer: InventoryAnswer, options: RootInventoryOptions): HostlerError {
  const root = options.root.path;
  const facts = { root };
  switch (answer.kind) {
    case 'too old':
      return new HostlerError('GENERATION_TOO_OLD', `${root}: what has changed since then is not known`, { facts });
    case 'gone':
      if (answer.why === STALLED)
        return new HostlerError('ROOT_STALLED', `the filesystem of ${root} does not answer`, { facts });
      return new HostlerError('ROOT_UNAVAILABLE', `${root}: ${answer.why}`, { facts });
    case 'failed':
      options.failed(root, answer.text);
      if (answer.ofState)
        return new HostlerError('STATE_UNAVAILABLE', `the inventory of ${root} cannot be read or written now`, {
          facts,
          cause: answer.text,
        });
      return new HostlerError('BUG', 'internal error; see the log of the daemon', { cause: answer.text });
    case 'page':
    case 'changes':
    case 'dependants':
      return new HostlerError('BUG', `an inventory answered ${answer.kind}`);
  }
}
