import { nameOfSignal } from '../../linux/signals.js';
import type { CCalls, Reaped } from './c-calls.js';
import type { Ended } from './started.js';

/** Longer than any wait; see `#hold`. */
const LONG_MS = 2 ** 30;

interface Waiting {
  /** Called while the pid is still reserved. */
  readonly onExit: () => void;
  readonly onEnded: (ended: Ended) => void;
}

/**
 * Waits for children that Node did not start. Each is queried by its pid, as Node does for its own
 * children, so that neither takes the other's.
 */
export class Reaper {
  readonly #children = new Map<number, Waiting>();
  /** Children that keep this process alive; a signal listener alone does not. */
  readonly #held = new Set<number>();
  #hold: NodeJS.Timeout | undefined;

  /** Create it before the first child starts, which may end at once. */
  constructor(private readonly calls: Pick<CCalls, 'hasEnded' | 'reap'>) {
    process.on('SIGCHLD', () => {
      for (const pid of [...this.#children.keys()]) this.#look(pid);
    });
  }

  /** `onEnded` is called once, asynchronously; `onExit` immediately before it. */
  wait(pid: number, child: Waiting): void {
    this.#children.set(pid, child);
    this.#held.add(pid);
    this.#hold ??= setInterval(() => undefined, LONG_MS);
    // The child may have ended before its pid was registered.
    setImmediate(() => this.#look(pid));
  }

  /** The child no longer keeps this process alive. */
  release(pid: number): void {
    this.#held.delete(pid);
    if (this.#held.size > 0) return;
    clearInterval(this.#hold);
    this.#hold = undefined;
  }

  #look(pid: number): void {
    const child = this.#children.get(pid);
    if (child === undefined || !this.calls.hasEnded(pid)) return;
    this.#children.delete(pid);
    this.release(pid);
    try {
      child.onExit();
    } finally {
      child.onEnded(endOf(this.calls.reap(pid)));
    }
  }
}

/** Decodes a wait status; neither code nor signal if the child was reaped elsewhere. */
function endOf(reaped: Reaped | undefined): Ended {
  if (reaped === undefined) return {};
  const { status, cpuSeconds } = reaped;
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff, cpuSeconds } : { signal: nameOfSignal(signal), cpuSeconds };
}
