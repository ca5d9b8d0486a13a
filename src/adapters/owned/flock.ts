import type { FileHandle } from 'node:fs/promises';
import type { ProcessRunner } from '../process/process.js';
import { plainRun } from '../../domain/ports/tools.js';

/** Exit code of flock(1) if another process holds the lock. */
const EXIT_LOCKED = 1;

/**
 * Takes the exclusive flock(2) of an open file; false if another process holds it. The lock belongs
 * to the open file, which the child shares: it stays when the child ends, and is released when this
 * process ends in any way.
 */
export async function tryLock(file: FileHandle, runner: ProcessRunner): Promise<boolean> {
  const run = plainRun(AbortSignal.timeout(10_000));
  const { code, stderr } = await runner.run(
    {
      ...{ tool: 'flock', args: ['--exclusive', '--nonblock', [{ descriptor: file }]], trusted: true, limits: {} },
      answers: [0, EXIT_LOCKED],
    },
    run,
  );
  if (code === EXIT_LOCKED) return false;
  if (code !== 0) throw new Error(`flock failed: ${stderr}`);
  return true;
}
