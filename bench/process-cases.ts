/** Whole processes: the command, the start of the daemon, and the start of a tool by the daemon. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Daemon, HOSTLER, HOSTLERD, ROOT_FOLDER } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

const NODE = join(ROOT_FOLDER, 'node_modules/.bin/node');
const UNTIL_SERVING = join(ROOT_FOLDER, 'bench/programs/until-serving.sh');
const TOOL_START = fileURLToPath(new URL('programs/tool-start.js', import.meta.url));
const STARTS = 20;
/** Of the process that starts tools. */
const RESIDENT_MIB = 200;

/** What no program on this runtime can be faster than. */
const nothing: Contender = { name: 'node -e 0', run: () => peer(NODE, '-e', '0') };

/** The command as a caller starts it, with a daemon that serves. */
export function commandCases(daemon: Daemon): Case[] {
  const image = daemon.image('command.qcow2');
  const prepare = async () => {
    if (!existsSync(image)) await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image, '1G');
  };
  const hostler = (name: string, ...words: string[]): Contender => ({
    name,
    prepare,
    run: () => peer(HOSTLER, ...words),
  });
  return [
    {
      name: 'process: hostler --version',
      bar: '<= 60 ms',
      limit: { ms: 60 },
      rounds: 21,
      contenders: [hostler('hostler --version', '--version'), nothing],
    },
    {
      name: 'process: hostler image info',
      bar: '<= 110 ms',
      limit: { ms: 110 },
      rounds: 21,
      contenders: [
        hostler('hostler image info', '--address', daemon.address, 'image', 'info', image, '--format', 'qcow2'),
        { name: 'qemu-img info', prepare, run: () => peer('qemu-img', 'info', '-f', 'qcow2', image) },
        nothing,
      ],
    },
  ];
}

/**
 * A daemon from its start until it prints SERVING, in a folder that it knows. Its processor time is
 * not counted: it goes on when it serves.
 */
export async function startCase(folder: string): Promise<Case> {
  const first = await Daemon.start(folder);
  await first.stop();
  const pidFile = join(folder, 'pid');
  const ended = async () => {
    if (!existsSync(pidFile)) return;
    const pid = (await readFile(pidFile, 'utf8')).trim();
    while (existsSync(`/proc/${pid}`)) await sleep(5);
  };
  return {
    name: 'start: hostlerd until SERVING',
    bar: '<= 250 ms',
    limit: { ms: 250 },
    rounds: 15,
    contenders: [
      {
        name: 'hostlerd',
        prepare: ended,
        run: () => peer(UNTIL_SERVING, pidFile, HOSTLERD, '--config', join(folder, 'hostler.toml')),
      },
      { ...nothing, prepare: ended },
    ],
  };
}

/**
 * How long the start of a tool holds the event loop, in a process as large as a daemon at work: the
 * daemon's way, and that of Node.
 */
export async function toolStartCase(): Promise<{ readonly each: Case; readonly close: () => Promise<void> }> {
  const child = spawn(NODE, ['--max-semi-space-size=4', TOOL_START, String(RESIDENT_MIB)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the process that starts tools has ended');
    return Number(value);
  };
  if ((await line()) < RESIDENT_MIB) throw new Error('the process that starts tools is too small');
  const starts = (name: string, way: 'daemon' | 'node'): Contender => ({
    name,
    run: async () => {
      child.stdin.write(`${way} ${String(STARTS)}\n`);
      return line();
    },
  });
  return {
    each: {
      name: `tool: how long a start holds the event loop of ${String(RESIDENT_MIB)} MiB, median of ${String(STARTS)}`,
      bar: '<= 0.5 ms',
      limit: { ms: 0.5 },
      contenders: [starts("the daemon's start", 'daemon'), starts("Node's spawn", 'node')],
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
