/** What an inventory costs: to make it, in memory, and for others while much changes. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Message } from '../test/support/stranger.js';
import { times } from './crowd.js';
import type { DurabilityFigure } from './durability.js';
import { MAKE, READ } from './inventory-cases.js';

const [IMAGES, FOLDERS, ROUNDS, CHANGES, PER_SECOND, SECONDS] = [100_000, 100, 3, 50, 10_000, 8];
const FEW = 1000;

export async function inventoryFigures(folder: string): Promise<DurabilityFigure[]> {
  const root = join(folder, 'images');
  await mkdir(join(root, 'many'), { recursive: true });
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(root, 'template'), '1G');
  await sh('python3', '-c', MAKE, join(root, 'template'), join(root, 'many'), String(IMAGES), String(FOLDERS));
  const [built, found]: [number[], number[]] = [[], []];
  let [daemon, before]: [Daemon | undefined, number] = [undefined, 0];
  for (let round = 0; round < ROUNDS; round++) {
    found.push(await timed(() => sh('python3', '-c', READ, root)));
    await daemon?.stop();
    await rm(join(folder, 'state'), { recursive: true, force: true });
    const begun = (daemon = await Daemon.start(folder));
    // It looks for dependants at its start.
    await quiet(begun);
    before = await rssOf(begun);
    built.push(await timed(() => list(begun, root, 1)));
  }
  if (daemon === undefined) throw new Error('nothing was measured');
  try {
    await list(daemon, root, Number.POSITIVE_INFINITY);
    const each = ((await rssOf(daemon)) - before) / IMAGES;
    const some = await memoryOfAnswers(join(folder, 'few'));
    process.stdout.write(
      `memory of an inventory: ${each.toFixed(0)} bytes an image with all that a daemon takes for as many answers; ` +
        `${(each - some / IMAGES).toFixed(0)} without what it takes for them of a root of ${String(FEW)} images ` +
        `(bar: 100 and its path)\n`,
    );
    return [
      { name: `an inventory of ${String(IMAGES)} images is made`, bar: '1.5x the next', ms: built },
      { name: 'find, and each header read once', bar: '-', ms: found },
      { name: 'a change is seen by a watch', bar: '1000 ms', ms: await latencies(daemon, root) },
      ...(await beside(daemon, root)),
    ];
  } finally {
    await daemon.stop();
  }
}

/** What the memory of a daemon grows by that lists few images as often as it takes to list many. */
async function memoryOfAnswers(folder: string): Promise<number> {
  const root = join(folder, 'images');
  await mkdir(join(root, 'few'), { recursive: true });
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(root, 'template'), '1G');
  await sh('python3', '-c', MAKE, join(root, 'template'), join(root, 'few'), String(FEW), '1');
  const daemon = await Daemon.start(folder);
  try {
    await quiet(daemon);
    const before = await rssOf(daemon);
    for (let n = 0; n <= IMAGES / FEW; n++) await list(daemon, join(root, 'few'), 1);
    return (await rssOf(daemon)) - before;
  } finally {
    await daemon.stop();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function list({ stranger }: Daemon, path: string, most: number): Promise<void> {
  for (let [token, pages] = ['', 0]; pages < most; pages++) {
    const answer = await stranger.unary('ImageService/ListImages', { path, page_size: 1000, page_token: token });
    token = (answer['next_page_token'] ?? '') as string;
    if (token === '') return;
  }
}

async function rssOf({ process: { pid } }: Daemon): Promise<number> {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${String(pid)}/status`, 'utf8'))?.[1]);
}

/** Waits until a daemon works no more: a hundredth of the time at most. */
async function quiet({ process: { pid } }: Daemon): Promise<void> {
  const ticks = async () => {
    const fields = (await readFile(`/proc/${String(pid)}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  for (let last = -Infinity, now = await ticks(); now - last > 2;) {
    last = now;
    await sleep(2000);
    now = await ticks();
  }
}

async function latencies({ stranger }: Daemon, root: string): Promise<number[]> {
  const ms: number[] = [];
  const seen = new Map<string, () => void>();
  const stream = stranger.stream('ImageService/WatchImages', { path: root });
  stream.on('error', () => undefined); // it is cancelled below
  const first = new Promise((resolve) => stream.once('data', resolve));
  stream.on('data', ({ changes = [] }: Message) => {
    for (const { path } of changes as Message[]) seen.get(String(path))?.();
  });
  await first;
  for (let n = 0; n < CHANGES; n++) {
    const path = join(root, `change-${String(n)}`);
    const came = new Promise<void>((resolve) => seen.set(path, resolve));
    ms.push(await timed(() => writeFile(path, 'x').then(() => came)));
  }
  stream.cancel();
  return ms;
}

async function beside({ stranger }: Daemon, root: string): Promise<DurabilityFigure[]> {
  const path = join(root, 'template');
  const stream = stranger.stream('ImageService/WatchImages', { path: root });
  stream.on('error', () => undefined); // it is cancelled below
  let heard = 0;
  stream.on('data', ({ changes = [] }: Message) => (heard += (changes as Message[]).length));
  await new Promise((resolve) => stream.once('data', resolve));
  const idle = await times(stranger, path, sleep(SECONDS * 1000));
  const storm = sh('python3', '-c', STORM, join(root, 'many/0'), String(PER_SECOND), String(SECONDS));
  const busy = await times(stranger, path, storm);
  stream.cancel();
  const rate = Math.round(Number(await storm));
  return [
    { name: 'GetImageInfo with a watch, nothing changes', bar: '-', ms: idle },
    {
      name: `GetImageInfo beside ${String(rate)} changes a second, of which a watch heard ${String(heard)}`,
      bar: 'p99 10x that of the one before',
      ms: busy,
    },
  ];
}

const STORM = `
import os, sys, time
os.chdir(sys.argv[1])
rate, seconds = int(sys.argv[2]), int(sys.argv[3])
begun, done = time.monotonic(), 0
while time.monotonic() - begun < seconds:
    while done < min(time.monotonic() - begun, seconds) * rate:
        with open(f'storm-{done % 5000}', 'a') as file: file.write('x')
        done += 1
    time.sleep(.001)
print(done / (time.monotonic() - begun))
`;
