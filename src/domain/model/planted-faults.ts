/**
 * Faults that show whether the conformance suite finds them. Each is in one place of the daemon.
 */
export const PLANTED_FAULTS = {
  'replay-runs-again': 'a repeated request that has succeeded runs again',
  'plan-runs': 'a plan is carried out',
  'checksum-not-compared': 'an upload is published with any checksum',
  'private-folder-left': 'an operation that fails or is cancelled leaves its private folder',
  'wrong-reason': 'every failure has the reason IO_ERROR',
  'progress-goes-back': 'progress counts down',
  'denied-call-allowed': 'a caller may do what no role of it allows',
  'unsafe-image-opened': 'an image that leads to other files, or that nobody understands, is opened',
  'page-repeats-entry': 'a page of a folder begins with the last name of the page before',
  'base-not-protected': 'an image is changed or removed although others are backed by it',
  'download-loses-byte': 'a download lacks the first byte of each message',
} as const;

/** The name of a fault. */
export type PlantedFault = keyof typeof PLANTED_FAULTS;

/**
 * Names separated by commas. scripts/bundle.sh replaces this by an empty text: only a daemon that
 * runs from dist/src has the switch, not a shipped one.
 */
const planted = (process.env.HOSTLER_PLANTED_FAULTS ?? '').split(',').filter((name) => name !== '');
const unknown = planted.filter((name) => !(name in PLANTED_FAULTS));
if (unknown.length > 0) throw new Error(`HOSTLER_PLANTED_FAULTS: no such fault: ${unknown.join(', ')}`);

/** Whether a test has planted that fault in this process; never in a shipped daemon. */
export function isPlanted(fault: PlantedFault): boolean {
  return planted.includes(fault);
}
