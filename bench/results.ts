/** What was measured, kept as JSON: a run replaces what it measures again, and leaves the rest. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { sh } from '../test/support/shell.js';
import type { CaseResult } from './harness.js';

/** A case in one daemon. */
interface Kept extends CaseResult {
  readonly daemon: {
    /** `fresh`: started for this case; `apart`: no daemon serves in it. */
    readonly state: 'used' | 'fresh' | 'apart';
    readonly residentMib: number;
    /** Cases that it had done before. */
    readonly before: readonly string[];
  };
}

interface Results {
  readonly cases: Kept[];
  readonly [figure: string]: unknown;
}

/** What is in the file, or nothing yet. */
export async function readResults(file: string): Promise<Results> {
  if (!existsSync(file)) return { cases: [] };
  const read = JSON.parse(await readFile(file, 'utf8')) as Partial<Results>;
  return { ...read, cases: read.cases ?? [] };
}

/** Takes the place of the same case in such a daemon. */
export function keep({ cases }: Results, result: Kept): void {
  const at = cases.findIndex(({ name, daemon }) => name === result.name && daemon.state === result.daemon.state);
  if (at === -1) cases.push(result);
  else cases[at] = result;
}

/** With what describes the machine. */
export async function writeResults(file: string, results: Results): Promise<void> {
  const version = (text: string) => /\d+[.\d]*/.exec(text)?.[0] ?? '';
  const machine = {
    processors: cpus().length,
    kernel: version(release()),
    node: version(process.version),
    qemu: version(await sh('qemu-img', '--version')),
  };
  await writeFile(file, `${JSON.stringify({ machine, ...results }, undefined, 2)}\n`);
}
