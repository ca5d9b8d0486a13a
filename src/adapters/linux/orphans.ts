import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, systemError } from './errno.js';
import type { RunningTool, OrphanTools } from '../../domain/ports/tools.js';

/**
 * A killed process is gone in microseconds unless the kernel holds it; a disk that hangs must not
 * hold up our start.
 */
const PATIENCE_MS = 5000;
const LOOK_EVERY_MS = 20;

/**
 * When a process was started, in clock ticks since boot; undefined when there is none, or only its
 * exit code is left.
 */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    // The second field is the command in parentheses and may hold anything; the 3rd is the state,
    // the 22nd the start.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return undefined;
    throw systemError(error, `/proc/${String(pid)}/stat`);
  }
}

/**
 * Ends process groups by pid and start time, so that a later process of the same number is left
 * alone.
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

/** What tells the sandboxes of a state folder's daemons from all others; one daemon a folder. */
export function sandboxMark(stateFolder: string): string {
  return `hostler-${createHash('sha256').update(stateFolder).digest('hex').slice(0, 16)}`;
}

/**
 * Ends sandboxes that a daemon before us left: one that is killed while bubblewrap starts leaves a
 * process that waits for its parent for ever, and that no journal knows. To be called before a tool
 * of ours runs; their pids.
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

/** One that has ended already is no error. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/** For a daemon whose journal names the processes of another one. */
export const NO_ORPHANS: OrphanTools = { end: () => Promise.resolve() };
