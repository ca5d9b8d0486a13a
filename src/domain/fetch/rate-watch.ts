import { HostlerError } from '../errors.js';
import type { TransferRules } from './ports.js';

const LOOK_MS = 250;

/** Ends a transfer to which too little comes for too long. */
export class RateWatch {
  readonly #abort = new AbortController();
  #bytes = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(what: string, { stallMs, minBytesPerSecond }: TransferRules) {
    const looks = Math.max(1, Math.round(stallMs / LOOK_MS));
    const least = (minBytesPerSecond * stallMs) / 1000;
    let window: number[] = [];
    this.#timer = setInterval(() => {
      window = [...window, this.#bytes].slice(-looks - 1);
      const came = this.#bytes - (window[0] ?? 0);
      if (window.length <= looks || came >= least) return;
      const facts = { source: what, stall_ms: String(stallMs), bytes: String(came) };
      this.#abort.abort(
        new HostlerError('STALLED', `${what} sent ${String(came)} bytes in ${String(stallMs)} ms`, { facts }),
      );
    }, LOOK_MS);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
