/** Runs cases, each in a folder of its own. */
import { AssertionError } from 'node:assert/strict';
import { Bench } from '../bench/bench.js';
import type { World } from '../bench/world.js';
import { Refusal } from '../agent/refusal.js';
import type { Case } from './case.js';
import { makeFolder, removeFolder } from './place.js';

/** No case takes longer on a healthy agent. */
const CASE_MS = 120_000;

export interface Outcome {
  readonly case: Case;
  readonly verdict: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped; empty: it passed. */
  readonly why: string;
  readonly seconds: number;
}

/**
 * Runs so many at a time; a case that is alone runs when no other does.
 * @param onOutcome hears each in the order of the cases
 */
export async function runCases(
  cases: readonly Case[],
  world: World,
  { signal, jobs }: { readonly signal: AbortSignal; readonly jobs: number },
  onOutcome: (outcome: Outcome) => void,
): Promise<Outcome[]> {
  const outcomes: (Outcome | undefined)[] = [];
  let told = 0;
  const tell = () => {
    for (let next = outcomes[told]; next !== undefined; next = outcomes[++told]) onOutcome(next);
  };
  for (const group of groups([...cases.entries()])) {
    const waiting = group.values();
    const work = async () => {
      for (const [n, each] of waiting) {
        if (signal.aborted) return;
        outcomes[n] = await runCase(each, world, `${world.folder}/${String(n + 1)}`, signal);
        tell();
      }
    };
    await Promise.all(Array.from({ length: jobs }, work));
  }
  return outcomes.filter((each) => each !== undefined);
}

type Numbered = readonly [place: number, each: Case];

/** Cases that may run together stand in one group. */
function groups(cases: readonly Numbered[]): Numbered[][] {
  const found: Numbered[][] = [];
  for (const numbered of cases) {
    const before = found.at(-1);
    const together = before !== undefined && ![...before, numbered].some(([, { alone }]) => alone);
    if (together) before.push(numbered);
    else found.push([numbered]);
  }
  return found;
}

async function runCase(each: Case, world: World, folder: string, signal: AbortSignal): Promise<Outcome> {
  const missing = each.needs.map((need) => need.missing(world)).find((why) => why !== undefined);
  if (missing !== undefined) return { case: each, verdict: 'skipped', why: missing, seconds: 0 };
  const begin = performance.now();
  const complaints: string[] = [];
  try {
    await makeFolder(world.agent, folder);
    await within(each.run(new Bench(world, folder)), signal);
  } catch (error) {
    complaints.push(explain(error));
  }
  try {
    await removeFolder(world.agent, folder);
  } catch (error) {
    complaints.push(`its folder cannot be removed: ${explain(error)}`);
  }
  const verdict = complaints.length === 0 ? 'passed' : 'failed';
  return { case: each, verdict, why: complaints.join('\n'), seconds: (performance.now() - begin) / 1000 };
}

/** Fails when the work takes too long, or is interrupted. */
async function within(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(CASE_MS);
  const both = AbortSignal.any([signal, late]);
  await Promise.race([
    work,
    new Promise<never>((_, reject) => {
      both.addEventListener('abort', () => reject(new Error(late.aborted ? 'it takes too long' : 'interrupted')), {
        once: true,
      });
    }),
  ]);
}

const MOST_LINES = 8;

/** Without the comparison that node:assert adds to a message of its own. */
function explain(error: unknown): string {
  if (error instanceof Refusal) return error.summary;
  if (!(error instanceof Error)) return String(error);
  const [own = ''] =
    error instanceof AssertionError && !error.generatedMessage ? error.message.split('\n+ ') : [error.message];
  return own
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(0, MOST_LINES)
    .join('\n');
}
