import { HostlerError } from '../domain/errors.js';
import { deferred } from '../domain/waiting.js';
import { DIRECT, POOLED, type FileCalls } from './file-calls.js';
import { POOL_PLACES } from './gates/pool-places.js';
import type { RootPlace } from './root-mounts/root-place.js';

/**
 * Keeps a filesystem that does not answer from holding threads that others need: so many calls at a time (`PoolPlaces`), each
 * waited for so long. While one is overdue nobody else goes in; when it comes back, the root works again.
 */
export class RootGate {
  #overdue = 0;
  readonly #answered: (() => void)[] = [];

  constructor(
    private readonly path: string,
    private readonly patienceMs: number,
    private readonly place: Pick<RootPlace, 'isLocal' | 'follow' | 'hold' | 'filesystem'>,
    private readonly places = POOL_PLACES,
  ) {}

  /** How to ask its filesystem. */
  get calls(): FileCalls {
    return this.place.isLocal() ? DIRECT : POOLED;
  }

  /** Fails with ROOT_STALLED, ROOT_UNAVAILABLE. What comes too late is given to `dispose`. */
  enter<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void>): Promise<T> {
    return this.call(() => this.#walk(work), dispose);
  }

  /** The same for a call by a handle that is open: where the root's path leads now is not asked. Fails with ROOT_STALLED. */
  async call<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void>): Promise<T> {
    // Nothing but filesystems of this host's own lies in the root: those always answer.
    if (this.place.isLocal()) return work();
    if (this.#overdue > 0) throw this.#stalled();
    const { filesystem } = this.place;
    const first = await this.places.inTime({ filesystem, patienceMs: this.patienceMs }, work, (done) => {
      this.#overdue += 1;
      // Whoever asked has had an answer; a late failure is of no use to anybody.
      void done.then(dispose, () => undefined).finally(() => this.#cameBack());
    });
    if (first === 'late') throw this.#stalled();
    return first.value;
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
    return this.places.atLast(this.place.filesystem, work);
  }

  #cameBack(): void {
    this.#overdue -= 1;
    if (this.#overdue === 0) for (const wake of this.#answered.splice(0)) wake();
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
