import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../domain/errors.js';
import { deferred } from '../domain/waiting.js';
import { DIRECT, POOLED, type FileCalls } from './file-calls.js';
import type { RootPlace } from './root-mounts/root-place.js';

/** Calls into one root at a time: each that hangs holds one of the 16 threads of the pool (`bin/hostlerd`). */
const MOST_INSIDE = 5;

/**
 * Keeps a filesystem that does not answer from holding threads that others need: so many calls at a time, each waited for so long.
 * While one is overdue nobody else goes in; when it comes back, the root works again.
 */
export class RootGate {
  #inside = 0;
  #overdue = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #answered: (() => void)[] = [];

  constructor(
    private readonly path: string,
    private readonly patienceMs: number,
    private readonly place: Pick<RootPlace, 'isLocal' | 'follow' | 'hold'>,
  ) {}

  /** How to ask its filesystem. */
  get calls(): FileCalls {
    return this.place.isLocal() ? DIRECT : POOLED;
  }

  /** Fails with ROOT_STALLED, ROOT_UNAVAILABLE. What comes too late is given to `dispose`. */
  async enter<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void>): Promise<T> {
    // Nothing but filesystems of this host's own lies in the root: those always answer.
    if (this.place.isLocal()) return this.#walk(work);
    if (this.#overdue > 0) throw this.#stalled();
    const timer = new AbortController();
    const late = sleep(this.patienceMs, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
    try {
      if (this.#inside >= MOST_INSIDE && (await this.#turn(late)) === 'late') throw this.#stalled();
      const done = this.#work(() => this.#walk(work));
      const first = await Promise.race([done.then((value) => ({ value })), late]);
      if (first !== 'late') return first.value;
      this.#overdue += 1;
      // Whoever asked has had an answer; a late failure is of no use to anybody.
      void done.then(dispose, () => undefined).finally(() => this.#cameBack());
      throw this.#stalled();
    } finally {
      timer.abort();
    }
  }

  /** To where the root's path leads now. Fails as `enter`. */
  follow(): Promise<void> {
    return this.enter(
      () => Promise.resolve(),
      () => Promise.resolve(),
    );
  }

  /**
   * For work with handles that are open: waits until nothing is overdue, and then for as long as the work takes. Where the root's
   * path leads now is not asked: that takes a descriptor, and a removal must not need one.
   */
  async enterAtLast<T>(work: () => Promise<T>): Promise<T> {
    if (this.place.isLocal()) return work();
    while (this.#overdue > 0) {
      const { promise, resolve } = deferred();
      this.#answered.push(resolve);
      await promise;
    }
    if (this.#inside >= MOST_INSIDE) {
      const { promise, resolve } = deferred();
      this.#waiting.push(resolve);
      await promise;
    }
    return this.#work(work);
  }

  #cameBack(): void {
    this.#overdue -= 1;
    if (this.#overdue === 0) for (const wake of this.#answered.splice(0)) wake();
  }

  async #turn(late: Promise<'late'>): Promise<'late' | undefined> {
    const { promise, resolve } = deferred();
    this.#waiting.push(resolve);
    const first = await Promise.race([promise, late]);
    if (first === 'late') {
      const place = this.#waiting.indexOf(resolve);
      // Called in the same moment: the turn goes to the next.
      if (place === -1) this.#waiting.shift()?.();
      else this.#waiting.splice(place, 1);
    }
    return first ?? undefined;
  }

  async #work<T>(work: () => Promise<T>): Promise<T> {
    this.#inside += 1;
    try {
      return await work();
    } finally {
      this.#inside -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** From where the root's path leads now. */
  async #walk<T>(work: () => Promise<T>): Promise<T> {
    await this.place.follow();
    const release = this.place.hold();
    try {
      return await work();
    } finally {
      release();
    }
  }

  #stalled(): HostlerError {
    return new HostlerError('ROOT_STALLED', `the filesystem of the root ${this.path} does not answer`, {
      facts: { path: this.path, waited_ms: String(this.patienceMs) },
      retryAfterMs: this.patienceMs,
    });
  }
}
