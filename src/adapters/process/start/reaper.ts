import { nameOfSignal } from '../../linux/signals.js';
import type { CCalls, Reaped } from './c-calls.js';
import type { Ended } from './started.js';

/** Longer than anything waits; see `#hold`. */
const LONG_MS = 2 ** 30;

interface Waiting {
  /** Its pid is still its own. */
  readonly onExit: () => void;
  readonly onEnded: (ended: Ended) => void;
}

/**
 * Waits for children that were not started by Node. Each is asked for by its pid, as Node asks for
 * its own, so that nobody takes the other's.
 */
export class Reaper {
  readonly #children = new Map<number, Waiting>();
  /** Those for which this process stays alive, which a listener of signals alone does not do. */
  readonly #held = new Set<number>();
  #hold: NodeJS.Timeout | undefined;

  /** To be made before the first child is started: its end may come at once. */
  constructor(private readonly calls: Pick<CCalls, 'hasEnded' | 'reap'>) {
    process.on('SIGCHLD', () => {
      for (const pid of [...this.#children.keys()]) this.#look(pid);
    });
  }

  /** `onEnded` is called once, later than now; right before that `onExit`. */
  wait(pid: number, child: Waiting): void {
    this.#children.set(pid, child);
    this.#held.add(pid);
    this.#hold ??= setInterval(() => undefined, LONG_MS);
    // It may have ended before anybody knew its number.
    setImmediate(() => this.#look(pid));
  }

  /** This process does not stay alive for it. */
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

/** Of what wait(2) says; nothing when another one has reaped it. */
function endOf(reaped: Reaped | undefined): Ended {
  if (reaped === undefined) return {};
  const { status, cpuSeconds } = reaped;
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff, cpuSeconds } : { signal: nameOfSignal(signal), cpuSeconds };
}
