import { appendFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

/** Skips the test, with the reason printed at the end of the run, unless the condition holds. */
export function needs(context: Mocha.Context, condition: boolean, reason: string): void {
  if (condition) return;
  const folder = process.env['HOSTLER_RUN'];
  const title = context.test?.fullTitle() ?? 'a test';
  if (folder !== undefined) appendFileSync(`${folder}/skips`, `  ${title}: ${reason}\n`);
  context.skip();
}

/** Whether a program is on the PATH. */
export function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v "$1"`, 'sh', program]).status === 0;
}

export const isRoot = process.getuid?.() === 0;
