import { HostlerError } from '../model/errors.js';
import type { TransferRules } from '../ports/sources.js';

const LOOK_MS = 250;

interface Look {
  /** How long the source had been awaited by then. */
  readonly waitedMs: number;
  readonly bytes: number;
}

/**
 * Ends a transfer that is too slow for too long. Only the time spent waiting for the source counts.
 */
export class RateWatch {
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #waitedMs = 0;
  /** Start of the current wait for the source; undefined while data is being written. */
  #since: number | undefined;
  #looks: readonly Look[] = [{ waitedMs: 0, bytes: 0 }];

  constructor(
    private readonly what: string,
    private readonly rules: TransferRules,
  ) {
    this.#timer = setInterval(() => {
      this.#look();
    }, LOOK_MS);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Waits for data from the source. */
  async waitFor<T>(coming: Promise<T>): Promise<T> {
    this.#since = performance.now();
    try {
      return await coming;
    } finally {
      this.#count();
      this.#since = undefined;
    }
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /**
   * If the process did not check for longer than twice the interval, it was busy itself, and
   * received data was not counted.
   */
  #count(): void {
    if (this.#since === undefined) return;
    const now = performance.now();
    this.#waitedMs += Math.min(now - this.#since, 2 * LOOK_MS);
    this.#since = now;
  }

  #look(): void {
    this.#count();
    const { stallMs, minBytesPerSecond } = this.rules;
    if (this.#looks.at(-1)?.waitedMs === this.#waitedMs) return;
    const now = { waitedMs: this.#waitedMs, bytes: this.#bytes };
    const start = this.#looks.findLastIndex(({ waitedMs }) => now.waitedMs - waitedMs >= stallMs);
    this.#looks = [...this.#looks.slice(Math.max(0, start)), now];
    const before = this.#looks[0];
    if (start < 0 || before === undefined) return;
    const came = now.bytes - before.bytes;
    if (came >= (minBytesPerSecond * stallMs) / 1000) return;
    const facts = { source: this.what, stall_ms: String(stallMs), bytes: String(came) };
    const text = `${this.what} sent ${String(came)} bytes in ${String(stallMs)} ms`;
    this.#abort.abort(new HostlerError('STALLED', text, { facts }));
  }
}

/** The chunks as they arrive; the watch counts only the waits for the next one. */
export async function* waitedFor<T>(pieces: AsyncIterable<T>, watch: RateWatch): AsyncGenerator<T, void> {
  const iterator = pieces[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await watch.waitFor(iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
