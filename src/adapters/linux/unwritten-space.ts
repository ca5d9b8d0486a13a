import { open } from 'node:fs/promises';
import { constants } from 'node:fs';
import { pause } from '../../domain/model/async.js';
import type { Handle } from '../../domain/ports/handles.js';
import { loadKoffi } from './koffi.js';
import { procPath } from './proc-path.js';

const BTRFS = 0x9123683e;
/** More than this is not written between two commits of btrfs, which come every 30 s. */
const NEAR_BYTES = 16n << 30n;
/** A disk that takes longer has much to write: what it says then has to do. */
const PATIENCE_MS = 2000;
const syncfs = loadKoffi()?.load(null).func('syncfs', 'int', ['int']);

/**
 * Whether a filesystem with so little free space counts what was written only when it has committed
 * that: btrfs says until then that it is free.
 */
export function countsLate(type: number | bigint, freeBytes: bigint): boolean {
  return BigInt(type) === BigInt(BTRFS) && freeBytes < NEAR_BYTES;
}

/** Has the filesystem of an open file or folder commit what was written, in a thread. */
export async function commitWritten(handle: Handle): Promise<void> {
  if (syncfs === undefined) return;
  const opened = await open(procPath({ handle }), constants.O_RDONLY | constants.O_NONBLOCK);
  const committed = new Promise<void>((resolve) => {
    // Its failure is the writer's: who only counts learns nothing from it.
    syncfs.async(opened.fd, () => {
      resolve();
    });
  }).finally(() => opened.close());
  await pause(PATIENCE_MS, committed);
}
