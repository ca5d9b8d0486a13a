import { HostlerError } from '../../domain/model/errors.js';
import { SYNC } from '../gates/file-calls.js';
import { callsOf, inTime } from '../gates/handles.js';
import { carryRights, hasFew, type Carried } from './carry.js';
import type { CarryAnswer, CarryJob } from './carry-worker.js';
import { KeptThreads } from '../linux/kept-threads.js';
import { procPath } from '../linux/proc-path.js';
import type { FileRef } from '../../domain/ports/handles.js';

const threads = new KeptThreads<CarryJob, CarryAnswer>(new URL('./carry-worker.js', import.meta.url), () => true);

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

async function inThread(job: CarryJob): Promise<Carried> {
  const answer = await threads.run(job);
  if (answer.kind === 'failed') throw new HostlerError('BUG', 'rights could not be carried', { cause: answer.text });
  return answer.carried;
}
