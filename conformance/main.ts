/** hostler-conformance: shows whether an agent behaves as the contract says. */
import { writeFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import type { Agent } from './agent/agent.js';
import { AccessError } from './agent/connect.js';
import { Refusal } from './agent/refusal.js';
import type { World } from './bench/world.js';
import { CASES } from './catalogue.js';
import type { Case } from './runner/case.js';
import { junit } from './runner/junit.js';
import { meet } from './runner/meet.js';
import { parseOptions, UsageError, type Options } from './runner/options.js';
import { leftOf, makeFolder, removeFolder } from './runner/place.js';
import { runCases, type Outcome } from './runner/run-cases.js';
import { row, total } from './runner/table.js';

const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 7, interrupted: 130 };

/** Its reader has gone, as `head` does: nothing can be shown any more, and the run goes on. */
process.stdout.on('error', () => undefined);

void run();

async function run(): Promise<void> {
  try {
    process.exitCode = await main(parseOptions(process.argv.slice(2)));
  } catch (error) {
    process.exitCode = report(error);
  }
}

async function main(options: Options): Promise<number> {
  const { only } = options;
  const cases = CASES.filter(({ subject, name }) => only?.test(`${subject}: ${name}`) ?? true);
  if (cases.length === 0) throw new UsageError(`--only ${String(only?.source)} selects no case`);
  if (options.list) {
    print(cases.map(({ subject, name }) => `${subject}: ${name}`).join('\n'));
    return EXIT.ok;
  }
  const world = await meet(options);
  try {
    return await runAll(cases, world, options);
  } finally {
    world.agent.close();
    world.second?.close();
  }
}

async function runAll(cases: readonly Case[], world: World, { root, jobs, junit: file }: Options): Promise<number> {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupt.abort());
  const { agent, folder, host } = world;
  print(`agent ${host.agentVersion} on ${world.access.address}, in ${folder}\n`);
  await makeFolder(agent, folder);
  let before: Outcome | undefined;
  const begin = performance.now();
  const outcomes = await runCases(cases, world, { signal: interrupt.signal, jobs }, (outcome) => {
    print(row(outcome, before));
    before = outcome;
  });
  const left = await cleanUp(agent, root, folder);
  for (const each of left) print(`\nleft behind: ${each}`);
  if (file !== undefined) await writeFile(file, junit(outcomes));
  print(`\n${total(outcomes)} in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  if (interrupt.signal.aborted) return EXIT.interrupted;
  return left.length === 0 && outcomes.every(({ verdict }) => verdict !== 'failed') ? EXIT.ok : EXIT.failed;
}

/** What cannot be removed, or why nobody can tell; empty: nothing is left. */
async function cleanUp(agent: Agent, root: string, folder: string): Promise<string[]> {
  try {
    await removeFolder(agent, folder);
    return await leftOf(agent, root, folder);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [`${folder}: ${error.summary}`];
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function report(error: unknown): number {
  // commander has said what is wrong.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const known = error instanceof UsageError || error instanceof AccessError || error instanceof Refusal;
  if (!known) throw error;
  const message = error instanceof Refusal ? error.summary : error.message;
  process.stderr.write(`hostler-conformance: ${message}\n`);
  if (!(error instanceof Refusal)) return EXIT.usage;
  return error.isNoAnswer ? EXIT.unavailable : EXIT.failed;
}
