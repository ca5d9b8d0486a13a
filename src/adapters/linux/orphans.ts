import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, systemError } from './errno.js';
import type { RunningTool, OrphanTools } from '../../domain/ports/tools.js';

/**
 * A killed process ends within microseconds unless it hangs in the kernel; a disk that hangs must
 * not delay the start.
 */
const PATIENCE_MS = 5000;
const LOOK_EVERY_MS = 20;

/**
 * When a process was started, in clock ticks since boot; undefined if it does not exist or is a
 * zombie.
 */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    // The second field is the command in parentheses and may contain anything; the 3rd is the
    // state, the 22nd the start time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return undefined;
    throw systemError(error, `/proc/${String(pid)}/stat`);
  }
}

/**
 * Ends process groups by pid and start time, so that a later process with the same pid is not
 * affected.
 */
export class ProcessOrphans implements OrphanTools {
  async end({ pid, start }: RunningTool): Promise<void> {
    if (startOf(pid) !== start) return;
    kill(-pid);
    for (let waited = 0; startOf(pid) === start; waited += LOOK_EVERY_MS) {
      if (waited > PATIENCE_MS) throw new Error(`process ${String(pid)} of an earlier life does not end`);
      await sleep(LOOK_EVERY_MS);
    }
  }
}

/**
 * A mark that distinguishes the sandboxes of this state folder's daemon from all others; each state
 * folder has one daemon.
 */
export function sandboxMark(stateFolder: string): string {
  return `hostler-${createHash('sha256').update(stateFolder).digest('hex').slice(0, 16)}`;
}

/**
 * Ends sandboxes that an earlier daemon left: if the daemon is killed while bubblewrap starts,
 * bubblewrap waits for its parent forever, and the journal does not know it. Call it before this
 * daemon runs a tool. Returns the pids.
 */
export async function endSandboxes(mark: string): Promise<number[]> {
  const found = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isMarked(pid, mark));
  for (const pid of found) kill(pid);
  for (
    let waited = 0;
    found.some((pid) => startOf(pid) !== undefined && isMarked(pid, mark));
    waited += LOOK_EVERY_MS
  ) {
    if (waited > PATIENCE_MS) throw new Error(`tools of an earlier life do not end: ${found.join(' ')}`);
    await sleep(LOOK_EVERY_MS);
  }
  return found;
}

function isMarked(pid: number, mark: string): boolean {
  try {
    const words = readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
    return words.some((word, index) => word === '--hostname' && words[index + 1] === mark);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return false;
    throw error;
  }
}

/** A process that has ended already is not an error. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/** For a daemon whose journal names the processes of another daemon. */
export const NO_ORPHANS: OrphanTools = { end: () => Promise.resolve() };
