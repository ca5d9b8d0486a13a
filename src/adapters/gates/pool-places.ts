import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Size of Node's thread pool, which all file calls share. The launcher (`bin/hostlerd`) sets it;
 * Node's default is 4.
 */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
/**
 * Places reserved for filesystems that hold none yet, so that one that does not answer cannot block
 * another.
 */
const KEPT_FREE = 2;

/** A call, or several consecutive calls, into a filesystem. */
export interface PoolCall {
  readonly filesystem: string;
  readonly patienceMs: number;
  /**
   * The call moves data and may take long. Such calls never get all places of their filesystem, so
   * that short calls can run beside them.
   */
  readonly slow?: boolean;
}

interface Waiter {
  readonly call: Omit<PoolCall, 'patienceMs'>;
  readonly timer: NodeJS.Timeout | undefined;
  readonly take: () => void;
}

/** The work that runs in a place. Nested calls of that work need no other place. */
const inside = new AsyncLocalStorage<{ holdsPlace: boolean }>();

/**
 * Each call into a filesystem that may stop answering holds a thread of the pool until it returns,
 * even when its caller has given up. At most half of the threads are held this way: the others are
 * for local filesystems and for name lookups.
 */
export class PoolPlaces {
  #taken = 0;
  readonly #byFilesystem = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  readonly #waiting: Waiter[] = [];

  /** @param most number of places in all; one filesystem gets half of them. */
  constructor(private readonly most: number = Math.max(2, Math.floor(THREADS / 2))) {}

  /**
   * Runs a call with a time limit and returns its value. The time to wait for a place restarts
   * whenever a call of the same kind into that filesystem returns. `overdue` is called for a call
   * that began and exceeded the limit; it keeps its place until it returns.
   */
  async inTime<T>(
    call: PoolCall,
    work: () => Promise<T>,
    overdue: (done: Promise<T>) => void,
  ): Promise<{ readonly value: T } | 'late'> {
    if (inside.getStore()?.holdsPlace === true) return { value: await work() };
    if (!(await this.#place(call, call.patienceMs))) return 'late';
    const done = this.#work(call, work);
    const timer = new AbortController();
    // The timer is aborted only when its result is no longer awaited.
    const late = sleep(call.patienceMs, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
    try {
      const first = await Promise.race([done.then((value) => ({ value })), late]);
      if (first === 'late') overdue(done);
      return first;
    } finally {
      timer.abort();
    }
  }

  /**
   * Runs a call and waits for it without a limit; `late` if no place became free in time and the
   * call did not begin.
   */
  async toItsEnd<T>(call: PoolCall, work: () => Promise<T>): Promise<{ readonly value: T } | 'late'> {
    if (inside.getStore()?.holdsPlace === true) return { value: await work() };
    if (!(await this.#place(call, call.patienceMs))) return 'late';
    return { value: await this.#work(call, work) };
  }

  /** As `toItsEnd`, and waits for a place without a limit as well. */
  async atLast<T>(filesystem: string, work: () => Promise<T>): Promise<T> {
    if (inside.getStore()?.holdsPlace === true) return work();
    const call = { filesystem, slow: true };
    await this.#place(call, undefined);
    return this.#work(call, work);
  }

  #mayEnter({ filesystem, slow }: Waiter['call']): boolean {
    const own = this.#byFilesystem.get(filesystem) ?? 0;
    const share = Math.ceil(this.most / 2);
    if (slow === true && (this.#slow.get(filesystem) ?? 0) >= Math.max(1, share - 1)) return false;
    if (own === 0) return this.#taken < this.most;
    return own < share && this.#taken < this.most - KEPT_FREE;
  }

  /** Whether a place was taken. */
  async #place(call: Waiter['call'], patienceMs: number | undefined): Promise<boolean> {
    if (!this.#mayEnter(call)) return this.#turn(call, patienceMs);
    this.#take(call);
    return true;
  }

  #take({ filesystem, slow }: Waiter['call']): void {
    this.#taken += 1;
    add(this.#byFilesystem, filesystem, 1);
    if (slow === true) add(this.#slow, filesystem, 1);
  }

  #giveBack({ filesystem, slow }: Waiter['call']): void {
    this.#taken -= 1;
    add(this.#byFilesystem, filesystem, -1);
    if (slow === true) add(this.#slow, filesystem, -1);
    for (const waiter of [...this.#waiting]) {
      const { call, timer, take } = waiter;
      if (this.#mayEnter(call)) {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        take();
      } else if (call.filesystem === filesystem && call.slow === slow) timer?.refresh();
    }
  }

  #turn(call: Waiter['call'], patienceMs: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const late = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        resolve(false);
      };
      const timer = patienceMs === undefined ? undefined : setTimeout(late, patienceMs);
      const take = () => {
        clearTimeout(timer);
        this.#take(call);
        resolve(true);
      };
      const waiter: Waiter = { call, timer, take };
      this.#waiting.push(waiter);
    });
  }

  async #work<T>(call: Waiter['call'], work: () => Promise<T>): Promise<T> {
    const place = { holdsPlace: true };
    try {
      return await inside.run(place, work);
    } finally {
      place.holdsPlace = false;
      this.#giveBack(call);
    }
  }
}

function add(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now > 0) counts.set(key, now);
  else counts.delete(key);
}

/** The places of this process, which has one pool. */
export const POOL_PLACES = new PoolPlaces();
