import { rest, uint64 } from '../model/numbers.js';
import type { Clock } from '../ports/images.js';
import type { Counters, Progress } from './record.js';
import { isPlanted } from '../model/planted-faults.js';

/** Time over which the rate is averaged. */
const WINDOW_MS = 5000;
/** Over a shorter time a rate is noise. */
const MIN_SPAN_MS = 500;
/** A longer estimate shows nothing new. */
const MAX_ETA_MS = 366n * 24n * 3600n * 1000n;

/**
 * Turns a verb's counters into progress. Progress is built only here, so that no number is
 * negative, too large for its field, or above its total.
 */
export class ProgressMeter {
  #samples: { readonly time: number; readonly done: bigint }[] = [];
  #total: bigint | undefined;

  constructor(private readonly clock: Clock) {}

  /** A new phase starts its own rate. */
  reset(): void {
    this.#samples = [];
  }

  measure(counted: Counters): Progress {
    const counters = inRange(counted);
    // The total of other work, such as a finished verification.
    if (counted.totalBytes !== this.#total) this.reset();
    this.#total = counted.totalBytes;
    const rate = this.#rate(counters.doneBytes);
    if (rate === undefined) return counters;
    const eta = etaMs(counters, rate);
    return { ...counters, bytesPerSecond: rate, ...(eta === undefined ? {} : { etaMs: eta }) };
  }

  /**
   * Undefined until there is one: also after a transfer started again, and after the clock was set
   * back.
   */
  #rate(done: bigint): bigint | undefined {
    const time = this.clock();
    const last = this.#samples.at(-1);
    if (last !== undefined && (done < last.done || time < last.time)) this.reset();
    if (last === undefined || this.#samples.length === 0 || time - last.time >= MIN_SPAN_MS / 5)
      this.#samples.push({ time, done });
    while ((this.#samples[1]?.time ?? time) < time - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || time - first.time < MIN_SPAN_MS) return undefined;
    return uint64(((done - first.done) * 1000n) / BigInt(Math.round(time - first.time)));
  }
}

/** A total that was exceeded was an estimate. */
function inRange({ doneBytes, totalBytes, skippedBytes, doneItems, totalItems }: Counters): Counters {
  const done = isPlanted('progress-goes-back') ? rest(totalBytes ?? 0n, doneBytes) : doneBytes;
  const [bytes, items] = [uint64(done), doneItems === undefined ? undefined : uint64(doneItems)];
  return {
    doneBytes: bytes,
    skippedBytes: uint64(skippedBytes),
    ...(totalBytes === undefined ? {} : { totalBytes: atLeast(bytes, totalBytes) }),
    ...(items === undefined ? {} : { doneItems: items }),
    ...(totalItems === undefined ? {} : { totalItems: atLeast(items ?? 0n, totalItems) }),
  };
}

function etaMs({ doneBytes, totalBytes }: Counters, rate: bigint): number | undefined {
  if (totalBytes === undefined || rate === 0n) return undefined;
  const ms = (rest(totalBytes, doneBytes) * 1000n) / rate;
  return ms > MAX_ETA_MS ? undefined : Number(ms);
}

function atLeast(least: bigint, value: bigint): bigint {
  const total = uint64(value);
  return total < least ? least : total;
}
