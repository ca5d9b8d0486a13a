/**
 * Hostile requests for every RPC, from five roles, made from the descriptors, while another caller
 * works and measures its waits. FUZZ=n requests, SEED=n; REPLAY='a line that a run has printed'
 * makes that one call.
 */
import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { needsMounts } from '../support/needs.js';
import type { MemoryLimit } from '../support/watchdog/memory.js';
import { Campaign } from './campaign.js';
import { fromLine, makeCase, toLine, type Case } from './cases.js';
import type { Measured, SecondCallerData } from './second-caller.js';
import { shrink } from './shrink.js';
import { kindOf } from './verdict.js';
import { World } from './world.js';

const COUNT = Number(process.env['FUZZ'] ?? '20000');
const SEED = Number(process.env['SEED'] ?? '1');
const { REPLAY } = process.env;
/** The same for every run, as requests hold it. */
const FOLDER = '/tmp/hostler-fuzz-rpc';
/** For the most that the daemon may take. */
const MEMORY_MIB = 500;
/** For the most that the requests' own process may take: five times what it takes. */
const OWN_MEMORY_MIB = 2000;
const BASELINE_MS = 3000;
/** Findings that are made smaller and printed. */
const MOST_SHRUNK = 12;
/**
 * What another caller waits for at the most on a machine that has nothing else to do; on any, so
 * many times what it waits alone. Coarse, as all share two processors: that no request holds the
 * daemon's main thread is what the watchdog of all tests looks at.
 */
const [P99_MS, P99_TIMES] = [100, 300];

describe('hostile requests', function () {
  this.timeout(12 * 60 * 60_000);
  let world: World;
  let second: Worker;
  before(async function () {
    needsMounts(this);
    const guard = new Worker(new URL('../support/watchdog/memory.js', import.meta.url), {
      workerData: { mostMib: OWN_MEMORY_MIB } satisfies MemoryLimit,
    });
    guard.unref();
    world = await World.make(FOLDER);
    await world.start();
    second = new Worker(new URL('second-caller.js', import.meta.url), {
      workerData: world.second satisfies SecondCallerData,
    });
    await sleep(500);
  });
  after(async () => {
    const ended = once(second, 'exit');
    second.postMessage('end');
    await ended;
    await world.remove();
  });

  const measured = async (): Promise<Measured> => {
    second.postMessage('report');
    const [report] = (await once(second, 'message')) as [Measured];
    return report;
  };

  const replayed = async (line: string) => {
    const campaign = new Campaign(world);
    await campaign.renew();
    const wrong = await campaign.one(fromLine(line));
    process.stdout.write(`      ${[...campaign.ends.keys()].join(', ')}; memory ${String(world.memory().peak)} MiB\n`);
    assert.equal(wrong, undefined);
    assert.deepEqual(await world.settle(), []);
  };

  const hostile = async () => {
    await measured();
    await sleep(BASELINE_MS);
    const alone = await measured();
    const campaign = new Campaign(world);
    const { roles } = world;
    await campaign.run(COUNT, (n) => makeCase(SEED, n, roles));
    const beside = await measured();
    const { peak } = campaign;
    report(campaign, alone, beside);
    const lines = await Promise.all(
      [...campaign.findings].slice(0, MOST_SHRUNK).map(([kind, finding]) => lineOf(campaign, kind, finding)),
    );
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
    assert.deepEqual([...campaign.findings.keys()], []);
    assert.deepEqual(beside.failures, []);
    const [p99, most] = [at(beside.reads, 0.99), Math.max(P99_MS, P99_TIMES * at(alone.reads, 0.99))];
    assert.ok(
      p99 <= most,
      `another caller waits ${p99.toFixed(1)} ms, and ${most.toFixed(1)} ms at the most is right here`,
    );
    assert.ok(peak <= MEMORY_MIB, `${String(peak)} MiB`);
  };

  if (REPLAY === undefined) it(`${String(COUNT)} requests, seed ${String(SEED)}`, hostile);
  else it('the call of REPLAY', () => replayed(REPLAY));

  async function lineOf(
    campaign: Campaign,
    kind: string,
    { wrong, times, example }: { wrong: string; times: number; example: Case | undefined },
  ) {
    if (example === undefined) return `${String(times)} x ${wrong}`;
    const probe = new Campaign(world);
    const small = await shrink(example, async (candidate) => {
      const seen = await probe.one(candidate);
      return seen !== undefined && world.lives && kindOf(candidate, seen) === kind;
    });
    return `${String(times)} x ${small.rpc} by ${small.role}: ${wrong}\n  REPLAY='${toLine(small)}'`;
  }

  function report(campaign: Campaign, alone: Measured, beside: Measured): void {
    const ends = [...campaign.ends].sort(([, a], [, b]) => b - a).map(([end, count]) => `${end} ${String(count)}`);
    process.stdout.write(
      [
        `      ends: ${ends.join(', ')}`,
        `      memory: peak ${String(campaign.peak)} MiB (budget ${String(MEMORY_MIB)}); the daemon ended ${String(campaign.deaths)} times`,
        `      the other caller alone: ${figures(alone)}`,
        `      beside the requests:    ${figures(beside)} (bar ${String(P99_MS)} ms)\n`,
      ].join('\n'),
    );
  }
});

/** So large is a part of the times, or less. */
function at(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

function figures({ reads, changes, failures }: Measured): string {
  const of = (times: readonly number[]) => {
    const [median, p99, most] = [0.5, 0.99, 1].map((part) => at(times, part).toFixed(1));
    return `${String(times.length)}, median ${String(median)}, p99 ${String(p99)}, most ${String(most)} ms`;
  };
  return `reads ${of(reads)}; changes ${of(changes)}; ${String(failures.length)} failed`;
}
