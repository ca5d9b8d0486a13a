import type { FileIdentity } from '../domain/ports.js';
import type { RequestKey } from '../domain/operations/journal.js';

/** Operations by id; their values begin with how often each was written, then a newline. */
export const OPERATION = 'op!';
/** Ids of unfinished operations: recovery reads only these. */
export const LIVE = 'live!';
/** Images that were being changed in place, by device and inode. */
export const TOUCHED = 'touched!';
/** Resume entries by what makes requests the same work. */
export const RESUME = 'resume!';
/** Entries of the image cache by their ids. */
export const CACHED = 'cached!';
export const SCHEMA_KEY = 'meta!schema';
/** How many records were ever written. Together with each record's own count it shows what was lost. */
export const TOTAL_KEY = 'meta!total';
/** Of those, how many belonged to records that were pruned. */
export const PRUNED_KEY = 'meta!pruned';

export function touchedKey({ device, inode }: FileIdentity): string {
  return `${TOUCHED}${String(device)}:${String(inode)}`;
}

/** Request ids to operation ids. */
export function requestKey({ caller, method, requestId }: RequestKey): string {
  return `req!${JSON.stringify([caller, method, requestId])}`;
}
