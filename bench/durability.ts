/**
 * What durability costs: starting with a past, working with a long past, being on disk, and
 * cancelling.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalStore } from '../src/adapters/journal/store.js';
import { asAddress } from '../src/domain/model/address.js';
import type { OperationRecord } from '../src/domain/operations/record.js';
import { Daemon } from '../test/support/daemon.js';
import { noise } from '../test/support/images/disks.js';
import { done, record } from '../test/support/journals/records.js';
import { openBenchJournal } from './journal-cases.js';

export interface DurabilityFigure {
  readonly name: string;
  readonly bar: string;
  readonly ms: readonly number[];
}

const MEMORY = '/dev/shm';
const ROUNDS = 60;

export async function durability(folder: string): Promise<DurabilityFigure[]> {
  return [
    {
      name: 'ready with 10,000 finished and 100 unfinished records',
      bar: '2000 ms',
      ms: [await readyAfterCrash(join(folder, 'ready'))],
    },
    ...(await startCosts(folder)),
    ...(await cancelCosts(join(folder, 'cancel'))),
  ];
}

export function printFigure({ name, bar, ms }: DurabilityFigure): void {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (part: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(1);
  process.stdout.write(`${name}: median ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms (bar ${bar})\n`);
}

async function readyAfterCrash(folder: string): Promise<number> {
  await fill(folder, 10_000);
  const unfinished = await unfinishedWork(folder, 100);
  await withJournal(folder, (journal) => Promise.all(unfinished.map((each) => journal.put(each))));
  const started = performance.now();
  const daemon = await Daemon.spawn(folder);
  while (!daemon.log.includes('"SERVING"')) await sleep(2);
  const took = performance.now() - started;
  const left = await daemon.leftovers();
  await daemon.stop();
  if (left.length > 0) throw new Error(`the private folders of the unfinished are still there: ${left.join(' ')}`);
  return took;
}

/** Operations that were running, each with a private folder and a half-made file. */
async function unfinishedWork(folder: string, count: number): Promise<OperationRecord[]> {
  const daemon = await Daemon.start(folder);
  const agent = daemon.records().find(({ message }) => message === 'SERVING')?.['agent'];
  await daemon.stop();
  const records = Array.from({ length: count }, (_, n) =>
    record(50_000_000 + n, {
      state: 'RUNNING',
      addresses: [asAddress(join(folder, `images/t${String(n)}`))],
      spec: {},
    }),
  );
  for (const { id } of records) {
    const part = join(folder, 'images', `.hostler-${String(agent)}-${id}`);
    await mkdir(part, { mode: 0o700 });
    await writeFile(join(part, 'part'), 'half');
  }
  return records;
}

/**
 * A small CreateImage: with few and many records on disk, and with a journal in memory. Turn by
 * turn in one run.
 */
async function startCosts(folder: string): Promise<DurabilityFigure[]> {
  const memory = await mkdtemp(join(MEMORY, 'hostler-bench-'));
  const daemons: [string, string, Daemon, number[]][] = [];
  try {
    for (const [name, bar, records, state] of [
      ['start, 100 records', '-', 100, undefined],
      ['start, 100,000 records', 'within 20 % of 100 records', 100_000, undefined],
      ['start, journal in memory', '3 ms less than on disk', 100, memory],
    ] as const) {
      const home = join(folder, name.replaceAll(/\W+/g, '-'));
      await fill(home, records);
      const options = state === undefined ? {} : { stateFolder: state };
      daemons.push([name, bar, await Daemon.start(home, options), []]);
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const [, , daemon, ms] of daemons) {
        const started = performance.now();
        await daemon.stranger.operation('ImageService/CreateImage', {
          path: daemon.image(`n${String(round)}`),
          format: 'raw',
          size: '1M',
        });
        if (round > 9) ms.push(performance.now() - started);
      }
    }
    return daemons.map(([name, bar, , ms]) => ({ name, bar, ms }));
  } finally {
    for (const [, , daemon] of daemons) await daemon.stop();
    await rm(memory, { recursive: true });
  }
}

async function cancelCosts(folder: string): Promise<DurabilityFigure[]> {
  const daemon = await Daemon.start(folder);
  const ms: number[] = [];
  try {
    await writeFile(daemon.image('disk.raw'), noise(64 << 20));
    for (let round = 0; round < 10; round++) {
      const stream = daemon.stranger.stream('ImageService/ConvertImage', {
        source: daemon.image('disk.raw'),
        source_format: 'raw',
        target: daemon.image('target'),
        target_format: 'qcow2',
        bandwidth_bytes_per_second: String(4 << 20),
        labels: { round: String(round) },
      });
      const ended = new Promise((resolve) => stream.once('error', resolve));
      stream.on('data', () => undefined);
      for (let tries = 0; (await daemon.leftovers()).length === 0 && tries < 100; tries++) await sleep(20);
      const asked = performance.now();
      await daemon.stranger.unary('OperationService/CancelOperation', { labels: { round: String(round) } });
      ms.push(performance.now() - asked);
      if ((await daemon.leftovers()).length > 0 || existsSync(daemon.image('target')))
        throw new Error('a cancelled operation left something behind');
      await ended;
    }
  } finally {
    await daemon.stop();
  }
  return [{ name: 'cancel to files gone', bar: '1000 ms', ms }];
}

/** So many finished records in the daemon's journal. */
async function fill(folder: string, count: number): Promise<void> {
  await withJournal(folder, (journal) =>
    Promise.all(Array.from({ length: count }, (_, n) => journal.put(done(n, { endTime: Date.now() })))),
  );
}

async function withJournal(folder: string, use: (journal: JournalStore) => Promise<unknown>): Promise<void> {
  const state = join(folder, 'state');
  const journal = await openBenchJournal(state);
  await use(journal);
  await journal.close();
}
