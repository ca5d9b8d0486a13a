import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Of the pool that all calls of files share; the launcher (`bin/hostlerd`) sets it, Node's own
 * number is 4.
 */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
/**
 * For filesystems that hold no place yet, so that one that does not answer keeps no other one out.
 */
const KEPT_FREE = 2;

/** A call, or calls one after the other, into a filesystem. */
export interface PoolCall {
  readonly filesystem: string;
  readonly patienceMs: number;
  /**
   * It moves data, and may honestly take long: such calls never have all places of their
   * filesystem, so that looks go on beside them.
   */
  readonly slow?: boolean;
}

interface Waiter {
  readonly call: Omit<PoolCall, 'patienceMs'>;
  readonly timer: NodeJS.Timeout | undefined;
  readonly take: () => void;
}

/** What runs in a place. Calls that are made meanwhile, as a part of it, need no other place. */
const inside = new AsyncLocalStorage<{ holdsPlace: boolean }>();

/**
 * Calls into filesystems that may never answer hold a thread of the pool each until they come back,
 * also when nobody waits for them any more. At most half of the threads are held so: the others are
 * for filesystems of this host and for looking up names.
 */
export class PoolPlaces {
  #taken = 0;
  readonly #byFilesystem = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  readonly #waiting: Waiter[] = [];

  /** @param most places in all; one filesystem has half of them. */
  constructor(private readonly most: number = Math.max(2, Math.floor(THREADS / 2))) {}

  /**
   * The value of a call that has one in time. For its place it waits so long after the last call of
   * its kind there has come back. `overdue` hears of a call that began and has no answer; it keeps
   * its place until it has one.
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
    // The timer is aborted only when nobody waits for it any more.
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
   * The value of a call that is waited for as long as it takes; `late` when there is no place in
   * time, and it did not begin.
   */
  async toItsEnd<T>(call: PoolCall, work: () => Promise<T>): Promise<{ readonly value: T } | 'late'> {
    if (inside.getStore()?.holdsPlace === true) return { value: await work() };
    if (!(await this.#place(call, call.patienceMs))) return 'late';
    return { value: await this.#work(call, work) };
  }

  /** The same, and its place is waited for as long as that takes. */
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

/** Those of this process: its pool is one. */
export const POOL_PLACES = new PoolPlaces();
