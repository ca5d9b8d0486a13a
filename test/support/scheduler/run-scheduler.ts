/** The scheduler program of this folder, with a daemon that is killed under it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Daemon, ROOT_FOLDER } from '../daemon.js';
import { needs } from '../needs.js';
import { sh } from '../shell.js';

const PYTHON = join(ROOT_FOLDER, '.cache/python/bin/python');
const PROGRAM = join(ROOT_FOLDER, 'test/support/scheduler/scheduler.py');
/** Of an instance that stays and one that goes, in lines that the program prints. */
const STEPS_OF_TWO = 5;

interface Seen {
  readonly wrong: readonly string[];
  /** Paths: those that should be there, of a last list, and of the picture by changes. */
  readonly kept: readonly string[];
  readonly listed: readonly string[];
  readonly picture: readonly string[];
  /** The facts of each are the same in list and picture. */
  readonly same: boolean;
  readonly lists: number;
  readonly watches: number;
  /** How often each path was heard of. */
  readonly created: Readonly<Record<string, number>>;
  readonly removed: Readonly<Record<string, number>>;
}

export function needsScheduler(context: Mocha.Context): void {
  needs(context, existsSync(PYTHON), "Python's grpcio could not be installed");
}

/**
 * Runs it in an empty folder and kills the daemon so many times, evenly over its work. Fails unless
 * the program heard of each image once when it came and once when it went, and its picture is what
 * the daemon lists and `find` finds.
 */
export async function runScheduler(folder: string, instances: number, kills: number): Promise<void> {
  let daemon = await Daemon.start(folder);
  const root = join(folder, 'images');
  const words = [PROGRAM, daemon.address.replace('unix://', 'unix:'), root, String(instances)];
  const program = spawn(PYTHON, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const ended = new Promise<number | null>((resolve) => program.once('exit', resolve));
    const every = Math.floor((instances * STEPS_OF_TWO) / 2 / (kills + 1));
    let [steps, killed, last] = [0, 0, ''];
    for await (const line of createInterface({ input: program.stdout })) {
      last = line;
      if (line !== 'step' || ++steps % every !== 0 || killed === kills) continue;
      killed += 1;
      daemon.process.kill('SIGKILL');
      await daemon.exited;
      daemon.stranger.close();
      daemon = await Daemon.start(folder);
    }
    assert.equal(await ended, 0);
    assert.equal(killed, kills);
    assertComplete(JSON.parse(last) as Seen, kills);
    const found = (await sh('find', root, '-type', 'f')).trim().split('\n').sort();
    assert.deepEqual((JSON.parse(last) as Seen).picture, found);
  } finally {
    program.kill();
    await daemon.stop();
  }
}

function assertComplete({ wrong, kept, listed, picture, same, lists, watches, created, removed }: Seen, kills: number) {
  assert.deepEqual(wrong, []);
  assert.deepEqual(listed, kept);
  assert.deepEqual(picture, kept);
  assert.ok(same, 'the picture has other facts than the list');
  assert.equal(lists, 1, 'it had to list again');
  assert.ok(watches > kills, 'the watch began anew after each kill');
  const once = (counts: Seen['created']) => Object.entries(counts).filter(([, count]) => count !== 1);
  assert.deepEqual([once(created), once(removed)], [[], []]);
  const gone = new Set(Object.keys(removed));
  assert.deepEqual(
    Object.keys(created)
      .filter((path) => !gone.has(path))
      .sort(),
    kept,
  );
}
