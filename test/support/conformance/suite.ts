/** The conformance suite as a program, against daemons that are killed and started again. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../daemon.js';
import { tryRun } from '../shell.js';

/** The program. */
export const SUITE = join(ROOT_FOLDER, 'bin/hostler-conformance');

/** Words before the daemon's: it is started again whenever it ends, and its pid is in the file. */
export function startedAgain(pidFile: string): string[] {
  const loop = 'while :; do "$@" & pid=$!; echo $pid >"$0"; wait $pid; done';
  return ['sh', '-c', `trap 'kill -TERM $pid; wait $pid; exit 0' TERM; ${loop}`, pidFile];
}

/** For --restart-command, with a daemon that is started again. */
export function killing(pidFile: string): string {
  return `pid=$(cat '${pidFile}') && kill -KILL $pid && while kill -0 $pid 2>/dev/null; do sleep 0.02; done`;
}

/** How a run ended. */
export interface Verdict {
  readonly code: number | null;
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  /** The table, and what went to standard error. */
  readonly text: string;
}

const TESTCASE = /<testcase classname="([^"]*)" name="([^"]*)" time="[^"]*"(?:\/>|><(failure|skipped))/g;

/** Runs the suite; the outcomes are read from its JUnit file. */
export async function runSuite(junit: string, ...words: readonly string[]): Promise<Verdict> {
  const { code, stdout, stderr } = await tryRun(SUITE, ['--junit', junit, ...words]);
  const text = `${stdout}${stderr}`;
  const cases = [...readFileSync(junit, 'utf8').matchAll(TESTCASE)];
  const those = (outcome: string | undefined) =>
    cases.filter(([, , , each]) => each === outcome).map(([, subject = '', name = '']) => `${subject}: ${name}`);
  return { code, passed: those(undefined), failed: those('failure'), skipped: those('skipped'), text };
}
