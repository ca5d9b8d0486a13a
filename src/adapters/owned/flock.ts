import type { FileHandle } from 'node:fs/promises';
import type { ProcessRunner } from '../process/process.js';
import { plainRun } from '../../domain/ports/tools.js';

/** flock(1) ends so when another process holds the lock. */
const EXIT_LOCKED = 1;

/**
 * Takes the exclusive flock(2) of an open file; false when another process holds it. The lock
 * belongs to the open file, which the child shares with us: it stays when the child has gone, and
 * goes with this process however that ends.
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
