import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** A test, or a hook and all tests behind it, that was skipped. */
export interface Skip {
  readonly title: string;
  /** The compiled file in which it stands. */
  readonly file: string;
  readonly reason: string;
}

/** For people, and for the tests at the end of the run. */
const [SKIPS, SKIPS_DATA] = ['skips', 'skips.jsonl'];

/** Skips the test, with the reason printed at the end of the run, unless the condition holds. */
export function needs(context: Mocha.Context, condition: boolean, reason: string): void {
  if (condition) return;
  const folder = process.env['HOSTLER_RUN'];
  const skip: Skip = { title: context.test?.fullTitle() ?? 'a test', file: context.test?.file ?? '', reason };
  if (folder !== undefined) {
    appendFileSync(join(folder, SKIPS), `  ${skip.title}: ${reason}\n`);
    appendFileSync(join(folder, SKIPS_DATA), `${JSON.stringify(skip)}\n`);
  }
  context.skip();
}

/** All that was skipped in this run until now. */
export function skips(): Skip[] {
  const file = join(process.env['HOSTLER_RUN'] ?? '', SKIPS_DATA);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Skip);
}

/** Whether a program is on the PATH. */
export function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v "$1"`, 'sh', program]).status === 0;
}

export const isRoot = process.getuid?.() === 0;

/** Finds out once whether root may do here what containers often forbid; why not, else nothing. */
function tried(...command: readonly [string, ...string[]]): () => string | undefined {
  let outcome: { readonly why: string | undefined } | undefined;
  return () => {
    if (outcome === undefined) {
      const [program, ...words] = command;
      const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
      outcome = { why: status === 0 ? undefined : (error?.message ?? stderr.trim()) };
    }
    return outcome.why;
  };
}

// A plain chroot has no mount point at its root: nothing to make private.
const mounts = tried('unshare', '--mount', '--propagation', 'unchanged', 'mount', '-t', 'tmpfs', 'try', '/proc');
const networks = tried('sh', '-c', 'ip netns add "$0" && ip netns delete "$0"', `hostler-try-${String(process.pid)}`);

/** Skips what mounts filesystems where that cannot be done. */
export function needsMounts(context: Mocha.Context): void {
  needs(context, isRoot, 'needs root to mount');
  needs(context, mounts() === undefined, `nothing can be mounted here: ${mounts() ?? ''}`);
}

/** Skips what plays several hosts where that cannot be done. */
export function needsNetworks(context: Mocha.Context): void {
  needs(context, isRoot && installed('ip'), 'network namespaces need root and iproute2');
  needs(context, networks() === undefined, `no network namespaces here: ${networks() ?? ''}`);
}
