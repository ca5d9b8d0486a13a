import { open } from 'node:fs/promises';
import { constants } from 'node:fs';
import { pause } from '../../domain/model/async.js';
import type { Handle } from '../../domain/ports/handles.js';
import { loadKoffi } from './koffi.js';
import { procPath } from './proc-path.js';

const BTRFS = 0x9123683e;
/** btrfs writes no more than this between two commits, which happen every 30 s. */
const NEAR_BYTES = 16n << 30n;
/** A slower disk has much to write; the counts that it reports by then have to suffice. */
const PATIENCE_MS = 2000;
const syncfs = loadKoffi()?.load(null).func('syncfs', 'int', ['int']);

/**
 * Whether a filesystem with this little free space counts written data only after a commit: until
 * then btrfs reports its space as free.
 */
export function countsLate(type: number | bigint, freeBytes: bigint): boolean {
  return BigInt(type) === BigInt(BTRFS) && freeBytes < NEAR_BYTES;
}

/** Makes the filesystem of an open file or folder commit written data, in a thread. */
export async function commitWritten(handle: Handle): Promise<void> {
  if (syncfs === undefined) return;
  const opened = await open(procPath({ handle }), constants.O_RDONLY | constants.O_NONBLOCK);
  const committed = new Promise<void>((resolve) => {
    // A failure is reported to the writer of the data; it does not concern a count.
    syncfs.async(opened.fd, () => {
      resolve();
    });
  }).finally(() => opened.close());
  await pause(PATIENCE_MS, committed);
}
