import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../domain/waiting.js';

/** Of the pool that all calls of files share; the launcher (`bin/hostlerd`) sets it, Node's own number is 4. */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
/** For filesystems that hold no place yet, so that one that does not answer keeps no other one out. */
const KEPT_FREE = 2;

interface Waiter {
  readonly filesystem: string;
  readonly take: () => void;
}

/**
 * Calls into filesystems that may never answer hold a thread of the pool each until they come back, also when nobody waits for them
 * any more. At most half of the threads are held so: the others are for filesystems of this host and for looking up names.
 */
export class PoolPlaces {
  #taken = 0;
  readonly #byFilesystem = new Map<string, number>();
  readonly #waiting: Waiter[] = [];

  /** @param most places in all; one filesystem has half of them. */
  constructor(private readonly most: number = Math.max(2, Math.floor(THREADS / 2))) {}

  /**
   * The value of a call that has one in time: neither its place nor its answer is waited for longer. `overdue` hears of a call that
   * began and has no answer; it keeps its place until it has one.
   */
  async inTime<T>(
    { filesystem, patienceMs }: { readonly filesystem: string; readonly patienceMs: number },
    work: () => Promise<T>,
    overdue: (done: Promise<T>) => void,
  ): Promise<{ readonly value: T } | 'late'> {
    const timer = new AbortController();
    const late = sleep(patienceMs, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
    try {
      if (!this.#mayEnter(filesystem)) {
        if ((await this.#turn(filesystem, late)) === 'late') return 'late';
      } else this.#take(filesystem);
      const done = this.#work(filesystem, work);
      const first = await Promise.race([done.then((value) => ({ value })), late]);
      if (first === 'late') overdue(done);
      return first;
    } finally {
      timer.abort();
    }
  }

  /** The same, waited for as long as it takes. */
  async atLast<T>(filesystem: string, work: () => Promise<T>): Promise<T> {
    if (this.#mayEnter(filesystem)) this.#take(filesystem);
    else await this.#turn(filesystem, new Promise<never>(() => undefined));
    return this.#work(filesystem, work);
  }

  #mayEnter(filesystem: string): boolean {
    const own = this.#byFilesystem.get(filesystem) ?? 0;
    if (own === 0) return this.#taken < this.most;
    return own < Math.ceil(this.most / 2) && this.#taken < this.most - KEPT_FREE;
  }

  #take(filesystem: string): void {
    this.#taken += 1;
    this.#byFilesystem.set(filesystem, (this.#byFilesystem.get(filesystem) ?? 0) + 1);
  }

  #giveBack(filesystem: string): void {
    this.#taken -= 1;
    const own = (this.#byFilesystem.get(filesystem) ?? 0) - 1;
    if (own > 0) this.#byFilesystem.set(filesystem, own);
    else this.#byFilesystem.delete(filesystem);
    for (const next of this.#waiting.filter((waiter) => this.#mayEnter(waiter.filesystem))) {
      // The one before it may have taken the last.
      if (!this.#mayEnter(next.filesystem)) continue;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      next.take();
    }
  }

  /** The place is taken when it resolves with anything else than `late`. */
  async #turn(filesystem: string, late: Promise<'late'>): Promise<'late' | 'mine'> {
    const { promise, resolve } = deferred<'mine'>();
    const waiter: Waiter = {
      filesystem,
      take: () => {
        this.#take(filesystem);
        resolve('mine');
      },
    };
    this.#waiting.push(waiter);
    const first = await Promise.race([promise, late]);
    if (first === 'mine') return first;
    const at = this.#waiting.indexOf(waiter);
    if (at !== -1) this.#waiting.splice(at, 1);
    // It came in the same moment.
    else this.#giveBack(filesystem);
    return 'late';
  }

  async #work<T>(filesystem: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      this.#giveBack(filesystem);
    }
  }
}

/** Those of this process: its pool is one. */
export const POOL_PLACES = new PoolPlaces();
