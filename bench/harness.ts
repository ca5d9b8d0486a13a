import { sh } from '../test/support/shell.js';

/**
 * Runs contenders in turn, so that a machine that drifts drifts for all of them; medians, spreads,
 * ratios.
 */
export interface Contender {
  readonly name: string;
  /** Untimed, before each run. */
  readonly prepare?: () => Promise<void>;
  readonly run: () => Promise<void>;
  /** Untimed, after the first run: throws when the result is wrong. */
  readonly verify?: () => Promise<void>;
}

export interface Case {
  readonly name: string;
  /** What the first contender, ours, is held against. */
  readonly bar: string;
  readonly contenders: readonly [Contender, ...Contender[]];
  readonly rounds?: number;
  /** False where a round takes minutes: every round counts, and nothing is checked. */
  readonly warmUp?: boolean;
}

export interface Figure {
  readonly contender: string;
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
}

export interface CaseResult {
  readonly name: string;
  readonly bar: string;
  readonly rounds: number;
  readonly figures: readonly Figure[];
  /** Our median over each other's. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Our median less the best of the others'. */
  readonly overBestMs: number;
}

const ROUNDS = 5;

export async function measure({ name, bar, contenders, rounds = ROUNDS, warmUp = true }: Case): Promise<CaseResult> {
  const times = new Map<string, number[]>(contenders.map((each) => [each.name, []]));
  // Round 0 warms up and is checked; it does not count.
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    // In another order each time: whoever comes after a heavy one pays for what the disk still has
    // to do.
    for (const { name: who, prepare, run, verify } of shuffled(contenders)) {
      await prepare?.();
      await sh('sync');
      const started = performance.now();
      await run();
      const took = performance.now() - started;
      if (round === 0) await verify?.();
      else times.get(who)?.push(took);
    }
  }
  const figures = contenders.map(({ name: who }) => figure(who, times.get(who) ?? []));
  const [ours, ...others] = figures;
  const median = ours?.medianMs ?? 0;
  return {
    name,
    bar,
    rounds,
    figures,
    ratios: Object.fromEntries(others.map(({ contender, medianMs }) => [contender, round2(median / medianMs)])),
    overBestMs: others.length === 0 ? 0 : round2(median - Math.min(...others.map(({ medianMs }) => medianMs))),
  };
}

export function print({ name, bar, figures, ratios, overBestMs }: CaseResult): void {
  process.stdout.write(`\n${name}   (bar: ${bar})\n`);
  for (const { contender, medianMs, minMs, maxMs } of figures) {
    const ratio = ratios[contender] === undefined ? '' : `   ours is ${String(ratios[contender])}x`;
    process.stdout.write(
      `  ${contender.padEnd(34)} ${ms(medianMs)}  (${ms(minMs).trim()} to ${ms(maxMs).trim()})${ratio}\n`,
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

function figure(contender: string, times: readonly number[]): Figure {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return { contender, medianMs: round2(middle), minMs: round2(sorted[0] ?? 0), maxMs: round2(sorted.at(-1) ?? 0) };
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
