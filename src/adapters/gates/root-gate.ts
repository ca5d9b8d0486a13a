import { HostlerError } from '../../domain/model/errors.js';
import { deferred } from '../../domain/model/async.js';
import { SYNC, THREADPOOL, type FileCalls } from './file-calls.js';
import { POOL_PLACES, type PoolCall } from './pool-places.js';
import type { RootPlace } from './root-place.js';

/**
 * So many times as long as a look may a call take that makes data durable or frees space: a server
 * may write for a minute then.
 */
const SLOW = 12;
/** And one that moves a piece of data, which waits while others make theirs durable. */
export const PIECE = 4;

const nothing = () => Promise.resolve();

/**
 * Keeps a filesystem that does not answer from holding threads that others need: so many calls at a
 * time (`PoolPlaces`), each waited for so long. While one is overdue nobody else goes in; when it
 * comes back, the root works again.
 */
export class RootGate {
  #overdue = 0;
  readonly #answered: (() => void)[] = [];
  readonly #guarded: FileCalls = {
    open: (path, flags) =>
      this.call(
        async () => THREADPOOL.open(path, flags),
        async (fd) => THREADPOOL.close(fd),
      ),
    // Not waited for while it hangs.
    close: (fd) => this.call(async () => THREADPOOL.close(fd)),
    stat: (fd) => this.call(async () => THREADPOOL.stat(fd)),
    readlink: (path) => this.call(async () => THREADPOOL.readlink(path)),
    read: (fd, buffer, position) => this.call(async () => THREADPOOL.read(fd, buffer, position)),
  };

  constructor(
    private readonly path: string,
    private readonly patienceMs: number,
    private readonly place: Pick<RootPlace, 'isLocal' | 'follow' | 'hold' | 'filesystem'>,
    private readonly places = POOL_PLACES,
  ) {}

  /** Whether nothing but filesystems of this host's own lies in the root. */
  get isLocal(): boolean {
    return this.place.isLocal();
  }

  /** How to ask its filesystem, in work that has entered. */
  get calls(): FileCalls {
    return this.place.isLocal() ? SYNC : THREADPOOL;
  }

  /** The same for work that has not: each of them is a `call`. */
  get guardedCalls(): FileCalls {
    return this.place.isLocal() ? SYNC : this.#guarded;
  }

  /** Fails with ROOT_STALLED, ROOT_UNAVAILABLE. What comes too late is given to `dispose`. */
  enter<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void>): Promise<T> {
    return this.call(() => this.#walk(work), dispose);
  }

  /**
   * The same for a call by a handle that is open: where the root's path leads now is not asked.
   * Fails with ROOT_STALLED.
   */
  async call<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void> = nothing): Promise<T> {
    // Nothing but filesystems of this host's own lies in the root: those always answer.
    if (this.place.isLocal()) return work();
    if (this.#overdue > 0) throw this.#stalled();
    return this.#inTime(work, dispose, { patienceMs: this.patienceMs });
  }

  /**
   * The same for a call in the middle of some work that moves data, makes it durable or frees
   * space: that waits also while others are overdue, and so many times as long. Fails with
   * ROOT_STALLED.
   */
  async slowCall<T>(
    work: () => Promise<T>,
    {
      dispose = nothing,
      times = SLOW,
    }: { readonly dispose?: (late: T) => Promise<void>; readonly times?: number } = {},
  ): Promise<T> {
    if (this.place.isLocal()) return work();
    return this.#inTime(work, dispose, { patienceMs: this.patienceMs * times, slow: true });
  }

  /**
   * The same for a call whose outcome must be known: when it has begun it is waited for as long as
   * it takes. Fails with ROOT_STALLED.
   */
  async callToItsEnd<T>(work: () => Promise<T>): Promise<T> {
    if (this.place.isLocal()) return work();
    const call = { filesystem: this.place.filesystem, patienceMs: this.patienceMs * SLOW, slow: true };
    const first = await this.places.toItsEnd(call, work);
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
   * For work with handles that are open: waits until nothing is overdue, and then for as long as
   * the work takes. Where the root's path leads now is not asked: that takes a descriptor, and a
   * removal must not need one.
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

  async #inTime<T>(
    work: () => Promise<T>,
    dispose: (late: T) => Promise<void>,
    how: Omit<PoolCall, 'filesystem'>,
  ): Promise<T> {
    const first = await this.places.inTime({ filesystem: this.place.filesystem, ...how }, work, (done) => {
      this.#overdue += 1;
      // The caller has its error already; a late failure is of no use.
      void done.finally(() => this.#cameBack()).then(dispose, () => undefined);
    });
    if (first === 'late') throw this.#stalled();
    return first.value;
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
