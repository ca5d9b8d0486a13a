import { Socket } from 'node:net';
import { deferred } from '../../../domain/model/async.js';
import { FIRST_FD } from '../tool-call.js';
import { CCalls } from './c-calls.js';
import { Reaper } from './reaper.js';
import type { Ended, Start, Started, StartOptions } from './started.js';

/**
 * Starts a child by posix_spawn(3) in a thread of the pool: the event loop waits neither for a copy
 * of the page tables nor for the loading of the program. A parent-death signal (setpriv
 * --pdeathsig) is bound to that thread; threads of the pool live as long as the process. Undefined
 * if the host lacks what it needs.
 */
export function posixStart(): Start | undefined {
  const calls = CCalls.load();
  if (calls === undefined) return undefined;
  const reaper = new Reaper(calls);
  return async (file, args, options) => {
    const words = [file, ...args];
    const env = Object.entries(options.env).map(([name, value]) => `${name}=${value}`);
    // A C string ends at NUL.
    if ([...words, ...env].some((word) => word.includes('\0'))) throw new Error(`spawn ${file}: a word with NUL`);
    const descriptors = new Descriptors(calls, options);
    try {
      const pid = await calls.spawn(file, words, env, (actions) => {
        for (const [place, fd] of descriptors.places.entries()) {
          if (fd === undefined) actions.open(place, '/dev/null');
          else actions.dup(fd, place);
        }
        actions.closeFrom(descriptors.places.length);
      });
      return started(pid, descriptors, reaper);
    } catch (error) {
      descriptors.destroyStreams();
      throw error;
    } finally {
      descriptors.close();
    }
  };
}

const [TO_READ, TO_WRITE] = [
  { readable: true, writable: false },
  { readable: false, writable: true },
];

/** Our ends of a child's streams, and the descriptors that the child gets. */
class Descriptors {
  readonly stdin: Socket | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Our descriptor for each number in the child; undefined: an empty input. */
  readonly places: readonly (number | undefined)[];
  readonly #streams: Socket[] = [];
  readonly #spent: number[] = [];

  constructor(
    private readonly calls: CCalls,
    { stdin, fds }: StartOptions,
  ) {
    try {
      const [input, output, errors] = [
        stdin ? this.#pair(TO_WRITE) : undefined,
        this.#pair(TO_READ),
        this.#pair(TO_READ),
      ];
      [this.stdin, this.stdout, this.stderr] = [input?.ours, output.ours, errors.ours];
      const others = fds.map((fd, index) => this.#apart(fd, FIRST_FD + index, FIRST_FD + fds.length));
      this.places = [input?.theirs, output.theirs, errors.theirs, ...others];
    } catch (error) {
      this.destroyStreams();
      this.close();
      throw error;
    }
  }

  destroyStreams(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  /** Closes all descriptors except the streams. */
  close(): void {
    for (const fd of this.#spent.splice(0)) this.calls.close(fd);
  }

  #pair(use: typeof TO_READ): { readonly ours: Socket; readonly theirs: number } {
    const [fd, theirs] = this.calls.pair();
    this.#spent.push(theirs);
    const ours = new Socket({ ...use, fd });
    this.#streams.push(ours);
    return { ours, theirs };
  }

  /**
   * A descriptor that is still the same file when its turn comes: a lower number has been replaced
   * by then, and one that keeps its number would be closed by exec.
   */
  #apart(fd: number, place: number, places: number): number {
    if (fd > place) return fd;
    const copy = this.calls.dupAbove(fd, places);
    this.#spent.push(copy);
    return copy;
  }
}

function started(pid: number, { stdin, stdout, stderr }: Descriptors, reaper: Reaper): Started {
  const ended = deferred<Ended>();
  const listeners: (() => void)[] = [];
  reaper.wait(pid, {
    onExit: () => {
      for (const listener of listeners) listener();
      stdin?.destroy();
    },
    onEnded: ended.resolve,
  });
  return {
    pid,
    stdin,
    stdout,
    stderr,
    ended: ended.promise,
    onExit: (listener) => listeners.push(listener),
    unref: () => reaper.release(pid),
  };
}
