import { Worker } from 'node:worker_threads';
import { SYNC } from '../gates/file-calls.js';
import { callsOf, inTime } from '../gates/handles.js';
import { carryRights, hasFew, type Carried } from './carry.js';
import { procPath } from '../linux/proc-path.js';
import type { FileRef } from '../../domain/ports/handles.js';

const WORKER = new URL('./carry-worker.js', import.meta.url);

/**
 * An access list, a label, and some attributes of a tool; starting a thread takes longer than
 * copying these.
 */
const FEW = 16;

/**
 * As `carryRights`: directly if the filesystem is local and there is little to do, otherwise in a
 * thread. Fails with ROOT_STALLED.
 */
export function carriedTo(made: FileRef, replaced: FileRef): Promise<Carried> | Carried {
  const [from, to] = [procPath(replaced), procPath(made)];
  const { handle } = replaced;
  const atOnce = callsOf(handle) === SYNC && hasFew(from, FEW);
  return atOnce ? carryRights(from, to) : inTime(handle, () => inThread({ from, to }));
}

function inThread(paths: { readonly from: string; readonly to: string }): Promise<Carried> {
  const worker = new Worker(WORKER, { workerData: paths });
  return new Promise((resolve, reject) => {
    worker.once('message', (carried: Carried) => {
      resolve(carried);
    });
    worker.once('error', reject);
  });
}
