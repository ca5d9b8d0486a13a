/** Times and durations as messages. They are created only here, so that each is valid. */
import type { Duration } from '../gen/google/protobuf/duration.js';
import type { Timestamp } from '../gen/google/protobuf/timestamp.js';

const NS_PER_S = 1_000_000_000n;
const NS_PER_MS = 1_000_000;
/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what Timestamp can hold. */
const [FIRST_S, LAST_S] = [-62_135_596_800n, 253_402_300_799n];
/** 10,000 years of 365.25 days: what Duration can hold. */
const LONGEST_MS = 315_576_000_000_000;

/**
 * A time from nanoseconds since 1970; undefined for undefined, and for one outside of Timestamp's
 * range.
 */
export function timeOfNs(ns: bigint | undefined): Timestamp | undefined {
  if (ns === undefined) return undefined;
  // Timestamp counts nanoseconds forward, also before 1970.
  const nanos = ((ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const seconds = (ns - nanos) / NS_PER_S;
  return seconds < FIRST_S || seconds > LAST_S ? undefined : { seconds, nanos: Number(nanos) };
}

/** The same from milliseconds since 1970; undefined also for NaN. */
export function timeOfMs(ms: number | undefined): Timestamp | undefined {
  if (ms === undefined || !Number.isFinite(ms)) return undefined;
  return timeOfNs(BigInt(Math.floor(ms)) * BigInt(NS_PER_MS));
}

/** A duration, never negative, at most the maximum of Duration; 0 for NaN. */
export function durationOf(ms: number): Duration {
  const whole = Number.isNaN(ms) ? 0 : Math.min(LONGEST_MS, Math.max(0, Math.round(ms)));
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * NS_PER_MS };
}

/** A received time, for people; empty if it is unset. */
export function timeText(time: Timestamp | undefined): string {
  if (time === undefined) return '';
  const date = new Date(msOf(time));
  // Another daemon may send any number.
  return Number.isNaN(date.getTime()) ? `${String(time.seconds)} s after 1970` : date.toISOString();
}

/** Whether a received time is within Timestamp's range. */
export function isTime({ seconds, nanos }: Timestamp): boolean {
  return seconds >= FIRST_S && seconds <= LAST_S && nanos >= 0 && nanos < 1e9;
}

/** Milliseconds since 1970. */
export function msOf({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.floor(nanos / NS_PER_MS);
}
