/** Calls of the C library that start a process, through koffi. The numbers are those of Linux. */
import { getSystemErrorName } from 'node:util';
import type { KoffiFunc, LibraryHandle } from 'koffi';
import { loadKoffi } from '../../linux/koffi.js';

const [SPAWN_SETSIGDEF, SPAWN_SETSIGMASK, SPAWN_SETSID] = [0x04, 0x08, 0x80];
const [AF_UNIX, SOCK_STREAM, SOCK_CLOEXEC, F_DUPFD_CLOEXEC] = [1, 1, 0o2000000, 1030];
const [P_PID, WNOHANG, WEXITED, WNOWAIT] = [1, 1, 4, 0x01000000];
/** Larger than the C library's structures on any architecture (glibc: 336 and 80, 128). */
const ROOM = 1024;

const MICROS = 1_000_000n;

/** Facts of a child that has ended. */
export interface Reaped {
  readonly status: number;
  readonly cpuSeconds: number;
}

/** Steps that a child runs before it becomes the program, in order. */
export interface FileActions {
  /** Opens a path for reading as this descriptor. */
  open(fd: number, path: string): void;
  /** Duplicates one of our descriptors to another number, which must differ. */
  dup(from: number, to: number): void;
  /** Closes all descriptors from this one on. */
  closeFrom(fd: number): void;
}

type Koffi = NonNullable<ReturnType<typeof loadKoffi>>;
type Call = (...words: unknown[]) => number;

/** Each method fails with a system error that begins with `spawn`. */
export class CCalls {
  readonly #lib: LibraryHandle;
  readonly #attributes = Buffer.alloc(ROOM);
  readonly #spawn: KoffiFunc<Call>;
  readonly #initActions: Call;
  readonly #destroyActions: Call;
  readonly #open: Call;
  readonly #dup: Call;
  readonly #closeFrom: Call;
  readonly #fcntl: Call;
  readonly #close: Call;
  readonly #socketpair: Call;
  readonly #waitid: Call;
  readonly #wait4: Call;

  private constructor(private readonly koffi: Koffi) {
    this.#lib = koffi.load(null);
    const actions = 'posix_spawn_file_actions';
    this.#spawn = this.#call('posix_spawn', 'void *', 'str', 'void *', 'void *', 'char **', 'char **');
    this.#initActions = this.#call(`${actions}_init`, 'void *');
    this.#destroyActions = this.#call(`${actions}_destroy`, 'void *');
    this.#open = this.#call(`${actions}_addopen`, 'void *', 'int', 'str', 'int', 'uint');
    this.#dup = this.#call(`${actions}_adddup2`, 'void *', 'int', 'int');
    this.#closeFrom = this.#call(`${actions}_addclosefrom_np`, 'void *', 'int');
    this.#fcntl = this.#call('fcntl', 'int', 'int', '...');
    this.#close = this.#call('close', 'int');
    this.#socketpair = this.#call('socketpair', 'int', 'int', 'int', 'void *');
    this.#waitid = this.#call('waitid', 'int', 'int', 'void *', 'int');
    this.#wait4 = this.#call('wait4', 'int', 'void *', 'int', 'void *');
    this.#setAttributes();
  }

  /**
   * Undefined if koffi has no build for the host, or the C library lacks some of the calls (glibc
   * 2.34 has all).
   */
  static load(): CCalls | undefined {
    const koffi = loadKoffi();
    try {
      return koffi === undefined ? undefined : new CCalls(koffi);
    } catch (error) {
      if (!String(error).includes('Cannot find function')) throw error;
      return undefined;
    }
  }

  /**
   * Starts a program in a thread of the pool, which waits until the program is loaded, and returns
   * its pid. No memory is copied, and no other thread waits.
   */
  async spawn(
    file: string,
    words: readonly string[],
    env: readonly string[],
    act: (actions: FileActions) => void,
  ): Promise<number> {
    const [pid, actions] = [Buffer.alloc(4), Buffer.alloc(ROOM)];
    this.#assertNone(this.#initActions(actions));
    try {
      act({
        open: (fd, path) => this.#assertNone(this.#open(actions, fd, path, 0, 0)),
        dup: (from, to) => this.#assertNone(this.#dup(actions, from, to)),
        closeFrom: (fd) => this.#assertNone(this.#closeFrom(actions, fd)),
      });
      const errno = await new Promise<number>((resolve, reject) => {
        const done = (error: unknown, result: number) =>
          error === null ? resolve(result) : reject(new Error('posix_spawn', { cause: error }));
        this.#spawn.async(pid, file, actions, this.#attributes, [...words, null], [...env, null], done);
      });
      this.#assertNone(errno, file);
      return pid.readInt32LE();
    } finally {
      this.#destroyActions(actions);
    }
  }

  /** Both ends of a socket pair. */
  pair(): readonly [ours: number, theirs: number] {
    const ends = new Int32Array(2);
    this.#assertDone(this.#socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    return [ends[0] ?? -1, ends[1] ?? -1];
  }

  /** Duplicates a descriptor to the lowest free number that is at least `least`. */
  dupAbove(fd: number, least: number): number {
    return this.#assertDone(this.#fcntl(fd, F_DUPFD_CLOEXEC, 'int', least));
  }

  close(fd: number): void {
    this.#close(fd);
  }

  /** Whether a child has ended; its pid stays reserved until it is reaped. */
  hasEnded(pid: number): boolean {
    const info = new Int32Array(ROOM / Int32Array.BYTES_PER_ELEMENT);
    // The child can no longer be waited for, so it has ended as well.
    return this.#waitid(P_PID, pid, info, WEXITED | WNOHANG | WNOWAIT) !== 0 || info[0] !== 0;
  }

  /**
   * The wait status of a child that has ended, and the processor time of the child and those it
   * waited for. Frees its pid.
   */
  reap(pid: number): Reaped | undefined {
    const [status, usage] = [new Int32Array(1), new BigInt64Array(ROOM / BigInt64Array.BYTES_PER_ELEMENT)];
    if (this.#wait4(pid, status, WNOHANG, usage) !== pid) return undefined;
    // struct rusage begins with the user time and the system time, each in seconds and
    // microseconds.
    const [user = 0n, userMicros = 0n, system = 0n, systemMicros = 0n] = usage;
    const micros = (user + system) * MICROS + userMicros + systemMicros;
    return { status: status[0] ?? 0, cpuSeconds: Number(micros) / Number(MICROS) };
  }

  #call(name: string, ...types: string[]): KoffiFunc<Call> {
    return this.#lib.func(name, 'int', types);
  }

  /** The child starts with no blocked signals, default signal actions, and its own session. */
  #setAttributes(): void {
    // Each signal is a bit; sets that the C library makes leave out its internal signals.
    const [all, none] = [Buffer.alloc(ROOM, 0xff), Buffer.alloc(ROOM)];
    const attributes = this.#attributes;
    this.#assertNone(this.#call('posix_spawnattr_init', 'void *')(attributes));
    this.#assertNone(this.#call('posix_spawnattr_setsigdefault', 'void *', 'void *')(attributes, all));
    this.#assertNone(this.#call('posix_spawnattr_setsigmask', 'void *', 'void *')(attributes, none));
    const flags = SPAWN_SETSID | SPAWN_SETSIGDEF | SPAWN_SETSIGMASK;
    this.#assertNone(this.#call('posix_spawnattr_setflags', 'void *', 'short')(attributes, flags));
  }

  /** Checks a call that returns an errno. */
  #assertNone(errno: number, file?: string): void {
    if (errno !== 0) throw spawnError(errno, file);
  }

  /** Checks a call that returns -1 and sets errno. */
  #assertDone(result: number): number {
    if (result === -1) throw spawnError(this.koffi.errno());
    return result;
  }
}

/** An error in the form of Node's own spawn errors. */
function spawnError(errno: number, file?: string): Error {
  const code = getSystemErrorName(-errno);
  const syscall = file === undefined ? 'spawn' : `spawn ${file}`;
  return Object.assign(new Error(`${syscall} ${code}`), { errno: -errno, code, syscall });
}
