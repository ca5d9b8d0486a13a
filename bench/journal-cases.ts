/**
 * What a long history costs: pages, starts, forgetting beside the work, and a change of an
 * operation.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JournalStore, type JournalOptions } from '../src/adapters/journal/store.js';
import { ALL, restOf, type Span, type TraitFilter } from '../src/domain/operations/journal.js';
import { Daemon } from '../test/support/daemon.js';
import { done, id, record } from '../test/support/journals/records.js';
import type { DurabilityFigure } from './durability.js';

const LONG = 200_000;
const FIT = 100_000;
const DAY = 24 * 3600 * 1000;

const fail = (...what: readonly unknown[]) => {
  throw new Error(what.map((each) => JSON.stringify(each)).join(': '));
};

export async function openBenchJournal(
  folder: string,
  limits: JournalOptions['limits'] = { operations: 10 * LONG, ms: 1e15 },
): Promise<JournalStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const log = { moved: fail, setAside: fail, imported: fail, state: fail, tidyFailed: fail };
  return JournalStore.open({ folder, limits, clock: Date.now, log });
}

/** Operations that ended some days ago: of several methods and callers, one in ten has failed. */
export async function fillJournal(journal: JournalStore, count: number, endTime = Date.now() - 3 * DAY): Promise<void> {
  const past = (n: number) =>
    done(n, {
      method: ['CopyImage', 'CreateImage', 'DeleteImage', 'ResizeImage'][n % 4] ?? '',
      caller: `caller-${String(n % 50)}`,
      labels: { instance: `i-${String(n % 5000)}` },
      state: n % 10 === 0 ? 'FAILED' : 'SUCCEEDED',
      requestId: `r${String(n)}`,
      endTime,
    });
  for (let from = 0; from < count; from += 2000)
    await Promise.all(Array.from({ length: Math.min(2000, count - from) }, (_, n) => journal.put(past(from + n))));
}

export async function journalFigures(folder: string): Promise<DurabilityFigure[]> {
  const long = join(folder, 'long');
  const writer = await openBenchJournal(long);
  await fillJournal(writer, LONG);
  const pages = await pageTimes(writer);
  const puts = await putTimes(writer);
  await writer.close();
  const forgetting = await timesWhileForgetting(long);
  const start = join(folder, 'start');
  const filler = await openBenchJournal(join(start, 'state'));
  await fillJournal(filler, FIT);
  await filler.close();
  const figures = [
    { name: 'put of a record, 200,000 there', bar: '-', ms: puts },
    ...pages,
    { name: 'put while 100,000 of 200,000 are forgotten, worst of each second', bar: '50 ms', ms: forgetting },
    { name: 'start with 100,000 records, to SERVING', bar: '600 ms', ms: await startTimes(start) },
  ];
  await rm(folder, { recursive: true });
  return figures;
}

async function pageTimes(journal: JournalStore): Promise<DurabilityFigure[]> {
  const traits = {
    state: { kind: 'state', value: 'FAILED' },
    method: { kind: 'method', value: 'ResizeImage' },
    caller: { kind: 'caller', value: 'caller-7' },
    label: { kind: 'label', key: 'instance', value: 'i-4999' },
  } as const;
  const cases: [string, TraitFilter][] = [
    ['all', []],
    ['by state', [[traits.state]]],
    ['by label', [[traits.label]]],
    ['by state, method and caller that never meet', [[traits.state], [traits.method], [traits.caller]]],
  ];
  const figures: DurabilityFigure[] = [];
  for (const [name, wanted] of cases) {
    for (const newestFirst of [false, true]) {
      const whole: Span = { ...ALL, newestFirst };
      const ms: number[] = [];
      for (const span of [whole, ...[LONG / 2, LONG - 100].map((n) => restOf(whole, id(n)))])
        for (let round = 0; round < 20; round++) ms.push(await timed(() => journal.page(wanted, span, 50)));
      figures.push({ name: `page of 50 of 200,000${newestFirst ? ', newest first' : ''}: ${name}`, bar: '20 ms', ms });
    }
  }
  return figures;
}

async function putTimes(journal: JournalStore): Promise<number[]> {
  const ms: number[] = [];
  for (let n = 0; n < 300; n++) ms.push(await timed(() => journal.put(record(LONG + n))));
  for (let n = 0; n < 300; n++) await journal.put(done(LONG + n, { endTime: Date.now() }));
  return ms;
}

/** Opened with smaller limits, so that half of it goes while others write. */
async function timesWhileForgetting(folder: string): Promise<number[]> {
  const journal = await openBenchJournal(folder, { operations: LONG / 2, ms: 1e15 });
  const worst: number[] = [];
  for (let second = 0, n = LONG + 1000; second < 8; second++) {
    const until = performance.now() + 1000;
    let most = 0;
    for (; performance.now() < until; n++) {
      most = Math.max(most, await timed(() => journal.put(done(n, { endTime: Date.now() }))));
      await sleep(2);
    }
    worst.push(most);
  }
  await journal.close();
  return worst;
}

async function startTimes(folder: string): Promise<number[]> {
  const ms: number[] = [];
  for (let round = 0; round < 5; round++) {
    const started = performance.now();
    const daemon = await Daemon.spawn(folder);
    while (!daemon.log.includes('"SERVING"')) await sleep(2);
    ms.push(performance.now() - started);
    await daemon.stop();
  }
  return ms;
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}
