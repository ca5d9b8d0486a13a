import { HostlerError } from '../../domain/model/errors.js';
import { deferred } from '../../domain/model/async.js';
import { SYNC, THREADPOOL, type FileCalls } from './file-calls.js';
import { POOL_PLACES, type PoolCall } from './pool-places.js';
import type { RootPlace } from './root-place.js';

/**
 * Calls that make data durable or free space may take this many times the normal limit: a server
 * may then write for a minute.
 */
const SLOW = 12;
/** Factor for calls that move data, which wait while other calls make data durable. */
export const PIECE = 4;

const nothing = () => Promise.resolve();

/**
 * Keeps a filesystem that does not answer from holding threads that other calls need: the number of
 * calls at a time is limited (`PoolPlaces`), and each has a time limit. While a call is overdue no
 * other call may enter; when it returns, the root works again.
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
    // A close that hangs is not awaited.
    close: (fd) => this.call(async () => THREADPOOL.close(fd)),
    stat: (fd) => this.call(async () => THREADPOOL.stat(fd)),
    statPath: (path) => this.call(async () => THREADPOOL.statPath(path)),
    statfs: (path) => this.call(async () => THREADPOOL.statfs(path)),
    readlink: (path) => this.call(async () => THREADPOOL.readlink(path)),
    read: (fd, buffer, position) => this.call(async () => THREADPOOL.read(fd, buffer, position)),
  };

  constructor(
    private readonly path: string,
    private readonly patienceMs: number,
    private readonly place: Pick<RootPlace, 'isLocal' | 'follow' | 'hold' | 'filesystem'>,
    private readonly places = POOL_PLACES,
  ) {}

  /** Whether the root lies on local filesystems only. */
  get isLocal(): boolean {
    return this.place.isLocal();
  }

  /** The system calls for its filesystem, for work that has entered. */
  get calls(): FileCalls {
    return this.place.isLocal() ? SYNC : THREADPOOL;
  }

  /** The system calls for work that has not entered: each of them is a `call`. */
  get guardedCalls(): FileCalls {
    return this.place.isLocal() ? SYNC : this.#guarded;
  }

  /**
   * Fails with ROOT_STALLED, ROOT_UNAVAILABLE. A result that arrives too late is passed to
   * `dispose`.
   */
  enter<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void>): Promise<T> {
    return this.call(() => this.#walk(work), dispose);
  }

  /**
   * As `enter`, for a call through an open handle: does not check where the root's path leads now.
   * Fails with ROOT_STALLED.
   */
  async call<T>(work: () => Promise<T>, dispose: (late: T) => Promise<void> = nothing): Promise<T> {
    // The root lies on local filesystems only, which always answer.
    if (this.place.isLocal()) return work();
    if (this.#overdue > 0) throw this.#stalled();
    return this.#inTime(work, dispose, { patienceMs: this.patienceMs });
  }

  /**
   * As `call`, in the middle of work that moves data, makes it durable or frees space. It also
   * waits while other calls are overdue, and its limit is multiplied by a factor. Fails with
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
   * As `call`, for a call whose outcome must be known: once begun, it is awaited without a limit.
   * Fails with ROOT_STALLED.
   */
  async callToItsEnd<T>(work: () => Promise<T>): Promise<T> {
    if (this.place.isLocal()) return work();
    const call = { filesystem: this.place.filesystem, patienceMs: this.patienceMs * SLOW, slow: true };
    const first = await this.places.toItsEnd(call, work);
    if (first === 'late') throw this.#stalled();
    return first.value;
  }

  /** Updates the root to where its path leads now. Fails as `enter`. */
  follow(): Promise<void> {
    return this.enter(
      () => Promise.resolve(),
      () => Promise.resolve(),
    );
  }

  /**
   * For work with open handles: waits until no call is overdue, then runs the work without a limit.
   * Does not check where the root's path leads now: that needs a descriptor, and a removal must not
   * need one.
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
      // The caller has already got an error; a late failure is of no use.
      void done.finally(() => this.#cameBack()).then(dispose, () => undefined);
    });
    if (first === 'late') throw this.#stalled();
    return first.value;
  }

  #cameBack(): void {
    this.#overdue -= 1;
    if (this.#overdue === 0) for (const wake of this.#answered.splice(0)) wake();
  }

  /** Runs work that starts from where the root's path leads now. */
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
