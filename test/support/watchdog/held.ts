/**
 * Every daemon under test is watched: a test fails in which the main thread of one was held,
 * whoever asked it for what.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of processor time, in that of the known machine. */
const HELD_MS = Number(process.env['HOSTLER_TEST_HELD_MS'] ?? 50);
const WATCHDOG = fileURLToPath(new URL('in-daemon.js', import.meta.url));

let watching = false;
let file: string | undefined;
let read = 0;
/** When daemons began to serve, by their processes: before that nobody waits for them. */
const serving = new Map<number, number>();

/** From now on. Without it, as in a bench, daemons run as they do elsewhere. */
export function watchDaemons(): void {
  watching = true;
}

/** For the daemon's environment. */
export function watchdogEnvironment(heldMs = HELD_MS): Record<string, string> {
  if (!watching) return {};
  if (file === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'held-'));
    file = join(folder, 'turns');
    process.once('exit', () => {
      rmSync(folder, { recursive: true, force: true });
    });
  }
  return {
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${WATCHDOG}`,
    HOSTLER_WATCHDOG: file,
    HOSTLER_WATCHDOG_MS: String(heldMs),
  };
}

/** A daemon serves from now on. */
export function watchServing(pid: number | undefined): void {
  if (pid !== undefined && !serving.has(pid)) serving.set(pid, Date.now());
}

interface Turn {
  readonly pid: number;
  readonly beganMs: number;
  readonly heldMs: number;
  readonly times: number;
  readonly wallMs: number;
}

/** Fails with the turns that were too long since the last look. */
export function assertNeverHeld(): void {
  const held = turns().filter(({ pid, beganMs }) => beganMs >= (serving.get(pid) ?? Infinity));
  assert.deepEqual(held, [], 'turns in which the main thread of a daemon was held');
}

function turns(): Turn[] {
  if (file === undefined) return [];
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    // No daemon has written anything.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  const whole = text.slice(read, text.lastIndexOf('\n') + 1);
  read += whole.length;
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Turn);
}
