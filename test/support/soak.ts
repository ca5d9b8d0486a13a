/** Mixed operations with random cancels, disconnects and deadlines; what is left afterwards. */
import { readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from './daemon.js';
import { noise } from './images/disks.js';
import { sh } from './shell.js';
import type { Message } from './stranger.js';

const IN_FLIGHT = 64;

/** The same numbers for the same seed, so that a failing run can be had again. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Standing {
  readonly descriptors: number;
  readonly rssKib: number;
}

export function standing(daemon: Daemon): Standing {
  const proc = `/proc/${String(daemon.process.pid)}`;
  return {
    descriptors: readdirSync(`${proc}/fd`).length,
    rssKib: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1]),
  };
}

/** Children of the daemon that still run. */
export async function childrenOf(daemon: Daemon): Promise<string[]> {
  const list = await sh('sh', '-c', 'ps -o pid=,stat=,args= --ppid "$1" || true', 'sh', String(daemon.process.pid));
  return list.split('\n').filter((line) => line.trim() !== '' && !/^\s*\d+\s+Z/.test(line));
}

export async function prepareSoak(daemon: Daemon): Promise<void> {
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', daemon.image('base.qcow2'), '64M');
  await writeFile(daemon.image('disk.raw'), noise(2 << 20));
}

/** Runs so many operations; how each ended, by reason. */
export async function soak(daemon: Daemon, count: number, seed: number): Promise<Map<string, number>> {
  const random = randomNumbers(seed);
  const ends = new Map<string, number>();
  let next = 0;
  const worker = async () => {
    for (let n = next++; n < count; n = next++) {
      const reason = await oneOperation(daemon, n, random);
      ends.set(reason, (ends.get(reason) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return ends;
}

async function oneOperation(daemon: Daemon, n: number, random: () => number): Promise<string> {
  const target = daemon.image(`soak-${String(n % 200)}`);
  const slow = random() < 0.3 ? { bandwidth_bytes_per_second: String(1 << 20) } : {};
  const choices: [string, Message][] = [
    ['CreateImage', { path: target, format: 'qcow2', size: '1G', overwrite: true }],
    [
      'CreateOverlay',
      { path: target, backing_file: daemon.image('base.qcow2'), backing_format: 'qcow2', overwrite: true },
    ],
    [
      'ConvertImage',
      {
        source: daemon.image('disk.raw'),
        source_format: 'raw',
        target,
        target_format: 'qcow2',
        overwrite: true,
        ...slow,
      },
    ],
    ['CopyImage', { source: daemon.image('disk.raw'), target, overwrite: true, ...slow }],
    ['DeleteImage', { path: target, missing_ok: true }],
    ['CopyImage', { source: daemon.image('missing'), target }],
  ];
  const [rpc, request] = choices[Math.floor(random() * choices.length)] ?? ['never', {}];
  const deadline = random() < 0.1 ? { deadline: Date.now() + Math.floor(random() * 200) } : {};
  const stream = daemon.stranger.stream(`ImageService/${rpc}`, { ...request, labels: { soak: String(n) } }, deadline);
  const ended = new Promise<string>((resolve) => {
    stream.on('data', () => undefined);
    stream.once('end', () => resolve('OK'));
    stream.once('error', (error: { code?: number }) => resolve(`code ${String(error.code)}`));
  });
  const fate = random();
  if (fate < 0.15) {
    await sleep(random() * 100);
    stream.cancel();
  } else if (fate < 0.3) {
    await sleep(random() * 100);
    await daemon.stranger
      .unary('OperationService/CancelOperation', { labels: { soak: String(n) } })
      .catch(() => undefined);
  }
  return ended;
}
