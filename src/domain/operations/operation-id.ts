import { encodeTime } from 'ulid';

/** The maximum time of a ULID, in ms after 1970. */
const LAST_MS = 2 ** 48 - 1;

/** The lowest id of an operation at that time, in ms after 1970; earlier ids are smaller. */
export function firstIdAt(ms: number): string {
  return encodeTime(Math.min(LAST_MS, Math.max(0, ms)), 10) + '0'.repeat(16);
}
