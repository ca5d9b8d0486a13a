import { encodeTime } from 'ulid';

/** What a ULID has room for, in ms after 1970. */
const LAST_MS = 2 ** 48 - 1;

/** The lowest id of an operation of that time, in ms after 1970; ids of before are below it. */
export function firstIdAt(ms: number): string {
  return encodeTime(Math.min(LAST_MS, Math.max(0, ms)), 10) + '0'.repeat(16);
}
