import type { Clock } from '../ports.js';
import type { Counters, Progress } from './record.js';

/** The rate is that of about so long. */
const WINDOW_MS = 5000;
/** Below this a rate is noise. */
const MIN_SPAN_MS = 500;

/** Turns absolute counters into counters with rate and time left. */
export class ProgressMeter {
  #samples: { readonly time: number; readonly done: bigint }[] = [];

  constructor(private readonly clock: Clock) {}

  /** A new phase starts its own rate. */
  reset(): void {
    this.#samples = [];
  }

  measure(counters: Counters): Progress {
    const time = this.clock();
    const last = this.#samples.at(-1);
    if (last === undefined || time - last.time >= MIN_SPAN_MS / 5)
      this.#samples.push({ time, done: counters.doneBytes });
    while ((this.#samples[1]?.time ?? time) < time - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || time - first.time < MIN_SPAN_MS) return counters;
    const rate = ((counters.doneBytes - first.done) * 1000n) / BigInt(time - first.time);
    if (rate <= 0n || counters.totalBytes === undefined) return { ...counters, bytesPerSecond: rate };
    return {
      ...counters,
      bytesPerSecond: rate,
      etaMs: Number(((counters.totalBytes - counters.doneBytes) * 1000n) / rate),
    };
  }
}
