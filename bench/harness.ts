import { loadavg } from 'node:os';
import { sh } from '../test/support/shell.js';
import { peersCpuMs } from './peers.js';

/**
 * Runs contenders in turn, so that a machine that drifts drifts for all of them; medians, spreads,
 * ratios, processor time.
 */
export interface Contender {
  readonly name: string;
  /** Untimed, before each run. */
  readonly prepare?: () => Promise<void>;
  /** Returns a time of its own, in ms, where that of the whole run is not the question. */
  readonly run: () => Promise<number | undefined> | Promise<void>;
  /** Untimed, after the first run: throws when the result is wrong. */
  readonly verify?: () => Promise<void>;
}

/** A time, or so many times that of another contender. */
type Limit = { readonly ms: number } | { readonly times: number; readonly of: string };

export interface Case {
  readonly name: string;
  /** What the first contender, ours, is held against. */
  readonly bar: string;
  /** The same for plots, where it can be drawn. */
  readonly limit?: Limit;
  readonly contenders: readonly [Contender, ...Contender[]];
  readonly rounds?: number;
  /** False where a round takes minutes: every round counts, and nothing is checked. */
  readonly warmUp?: boolean;
}

/** Of the rounds of a contender. */
interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Figure {
  readonly contender: string;
  readonly wallMs: Spread;
  /** Of the daemon and its tools, or of the peer, per round; the mean, because ticks are coarse. */
  readonly cpuMs: number;
  /** Of the bench, which is the client of ours. */
  readonly clientCpuMs: number;
}

export interface CaseResult {
  readonly name: string;
  readonly bar: string;
  readonly limit?: Limit;
  readonly rounds: number;
  readonly figures: readonly Figure[];
  /** Our time over each other's, round by round. */
  readonly ratios: Readonly<Record<string, Spread>>;
  /** Our median less the best of the others'. */
  readonly overBestMs: number;
  /** Where other work was done at the same time, this is high. */
  readonly loadAverage: number;
  readonly measured: string;
}

interface Rounds {
  readonly wallMs: number[];
  cpuMs: number;
  clientCpuMs: number;
}

const ROUNDS = 9;

/** @param daemonMs processor time that the daemon has taken, as `processorMs` */
export async function measure(
  { name, bar, limit, contenders, rounds = ROUNDS, warmUp = true }: Case,
  daemonMs: () => Promise<number> = () => Promise.resolve(0),
): Promise<CaseResult> {
  const taken = new Map<string, Rounds>(
    contenders.map((each) => [each.name, { wallMs: [], cpuMs: 0, clientCpuMs: 0 }]),
  );
  const serverMs = async () => (await daemonMs()) + peersCpuMs();
  // Round 0 warms up and is checked; it does not count.
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    // In another order each time: whoever comes after a heavy one pays for what the disk still has
    // to do.
    for (const { name: who, prepare, run, verify } of shuffled(contenders)) {
      await prepare?.();
      await sh('sync');
      // What the bench takes to read the others' times is not the client's.
      const before = { server: await serverMs(), client: ownMs() };
      const started = performance.now();
      const own = await run();
      const took = own ?? performance.now() - started;
      const after = { client: ownMs(), server: await serverMs() };
      const sum = taken.get(who);
      if (round === 0) await verify?.();
      else if (sum !== undefined) {
        sum.wallMs.push(took);
        sum.cpuMs += (after.server - before.server) / rounds;
        sum.clientCpuMs += (after.client - before.client) / rounds;
      }
    }
  }
  const all = contenders.map(({ name: who }) => ({
    who,
    of: taken.get(who) ?? { wallMs: [], cpuMs: 0, clientCpuMs: 0 },
  }));
  const [ours, ...others] = all;
  const own = ours?.of.wallMs ?? [];
  const best = Math.min(...others.map(({ of }) => spread(of.wallMs).median));
  return {
    name,
    bar,
    ...(limit === undefined ? {} : { limit }),
    rounds,
    figures: all.map(({ who, of: { wallMs, cpuMs, clientCpuMs } }) => ({
      contender: who,
      wallMs: spread(wallMs),
      cpuMs: round2(cpuMs),
      clientCpuMs: round2(clientCpuMs),
    })),
    ratios: Object.fromEntries(
      others.map(({ who, of }) => [who, spread(own.map((ms, round) => ms / (of.wallMs[round] ?? NaN)))]),
    ),
    overBestMs: others.length === 0 ? 0 : round2(spread(own).median - best),
    loadAverage: round2(loadavg()[0] ?? 0),
    measured: new Date().toISOString().slice(0, 10),
  };
}

export function print({ name, bar, figures, ratios, overBestMs, loadAverage }: CaseResult): void {
  process.stdout.write(`\n${name}   (bar: ${bar}; load ${String(loadAverage)})\n`);
  for (const { contender, wallMs, cpuMs, clientCpuMs } of figures) {
    const { median, min, max } = wallMs;
    const ratio = ratios[contender];
    const held =
      ratio === undefined ? '' : `   ours is ${String(ratio.median)}x (${String(ratio.min)} to ${String(ratio.max)})`;
    const client = ratio === undefined ? ` + client${ms(clientCpuMs)}` : '';
    process.stdout.write(
      `  ${contender.padEnd(34)} ${ms(median)}  (${ms(min).trim()} to ${ms(max).trim()})  cpu${ms(cpuMs)}${client}${held}\n`,
    );
  }
  if (figures.length > 1) process.stdout.write(`  ours less the best other: ${ms(overBestMs).trim()}\n`);
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return { median: round2(middle), min: round2(sorted[0] ?? 0), max: round2(sorted.at(-1) ?? 0) };
}

function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function ms(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`.padStart(10);
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A message as gRPC sends it, for a client that knows HTTP/2 alone. */
export function grpcFrame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
