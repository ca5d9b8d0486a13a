import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import type { ProcessRunner } from '../process/process.js';
import { plainRun } from '../../domain/ports/tools.js';

/** Exit code of flock(1) if another process holds the lock. */
const EXIT_LOCKED = 1;

/**
 * Takes the exclusive flock(2) of an open file; false if another process holds it. The lock belongs
 * to the open file, which the child shares: it stays when the child ends, and is released when this
 * process ends in any way.
 */
export function tryLock(file: FileHandle, runner: ProcessRunner): Promise<boolean> {
  return lock('--exclusive', file, runner);
}

/**
 * Whether another process holds the exclusive lock of a file; false if there is no such file. Has a
 * shared lock for a moment, so it is not for what happens often. Fails with system errors.
 */
export async function isLocked(path: string, runner: ProcessRunner): Promise<boolean> {
  try {
    await using file = await open(path);
    return !(await lock('--shared', file, runner));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function lock(kind: '--exclusive' | '--shared', file: FileHandle, runner: ProcessRunner): Promise<boolean> {
  const run = plainRun(AbortSignal.timeout(10_000));
  const { code, stderr } = await runner.run(
    {
      ...{ tool: 'flock', args: [kind, '--nonblock', [{ descriptor: file }]], trusted: true, limits: {} },
      answers: [0, EXIT_LOCKED],
    },
    run,
  );
  if (code === EXIT_LOCKED) return false;
  if (code !== 0) throw new Error(`flock failed: ${stderr}`);
  return true;
}
