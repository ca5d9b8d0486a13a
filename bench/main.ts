/**
 * `make bench`: ours beside the bare tools, in one run. `make bench ONLY=copy` runs the cases whose
 * name has that word.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from '../test/support/daemon.js';
import { sh, tryRun } from '../test/support/shell.js';
import { convertCases } from './convert-cases.js';
import { copyCases } from './copy-cases.js';
import { crowdFigures } from './crowd.js';
import { digestCases } from './digest-cases.js';
import { folderCases } from './folder-cases.js';
import { openFetchBench } from './fetch-cases.js';
import { infoCases } from './info-cases.js';
import { inventoryCases } from './inventory-cases.js';
import { inventoryFigures } from './inventory-figures.js';
import { journalFigures } from './journal-cases.js';
import { measure, print, type CaseResult } from './harness.js';
import { durability, printFigure } from './durability.js';
import { ownerCases } from './owner-cases.js';
import { openRbdBench } from './rbd-cases.js';
import { sandboxCases } from './sandbox-cases.js';
import { smallCases, startUp } from './small-cases.js';

const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'hostler-bench-'));
const only = process.argv[2] ?? process.env['ONLY'] ?? '';
const results: CaseResult[] = [];
const images = join(folder, 'images');
const xfs = join(images, 'xfs');
let mounted = false;
let daemon: Daemon | undefined;
let fetching: Awaited<ReturnType<typeof openFetchBench>> | undefined;
let rbd: Awaited<ReturnType<typeof openRbdBench>>;
try {
  await sh('mkdir', '-p', xfs);
  mounted = await mountXfs();
  if (!mounted) process.stdout.write('skipped: reflink (XFS cannot be mounted on a loop device here)\n');
  const durabilityFigures = 'durability'.includes(only) ? await durability(join(folder, 'durability')) : [];
  if ('journal'.includes(only)) durabilityFigures.push(...(await journalFigures(join(folder, 'journal'))));
  if ('crowd'.includes(only)) durabilityFigures.push(...(await crowdFigures(join(folder, 'crowd'))));
  if ('inventory'.includes(only)) durabilityFigures.push(...(await inventoryFigures(join(folder, 'inventory'))));
  durabilityFigures.forEach(printFigure);
  const facts = await startUp(join(folder, 'start'));
  process.stdout.write(`start to SERVING: ${String(facts.startMs)} ms (median of 5; bar 700)\n`);
  const cache = mounted ? `[cache]\npath = "${xfs}/cache"\n` : '';
  daemon = await Daemon.start(folder, {
    toml: `[limits]\nrunning_operations_per_filesystem = 8\ncallers_part = 1\n${cache}`,
  });
  if ('rbd: '.includes(only) || only.includes('rbd')) rbd = await openRbdBench(join(folder, 'rbd'));
  if ('fetch: '.includes(only) || only.includes('fetch'))
    fetching = await openFetchBench(join(folder, 'fetch'), daemon, mounted ? xfs : undefined);
  for (const each of [
    ...infoCases(daemon),
    ...inventoryCases(daemon),
    ...smallCases(daemon),
    ...folderCases(daemon),
    ...sandboxCases(daemon),
    ...ownerCases(daemon),
    ...convertCases(daemon),
    ...copyCases(daemon, mounted ? xfs : undefined),
    ...digestCases(daemon),
    ...(fetching?.cases ?? []),
    ...(rbd?.cases ?? []),
  ]) {
    if (!each.name.includes(only)) continue;
    const result = await measure(each);
    results.push(result);
    print(result);
  }
  const fetchMemory = (await fetching?.memory()) ?? [];
  for (const { sizeMib, peakMib } of fetchMemory)
    process.stdout.write(`peak memory of a fetch of ${String(sizeMib)} MiB: ${String(peakMib)} MiB (bar: the same)\n`);
  const rssMib = Math.round(
    Number(/VmRSS:\s+(\d+)/.exec(await sh('cat', `/proc/${String(daemon.process.pid)}/status`))?.[1]) / 1024,
  );
  process.stdout.write(`\nresident memory after all of that: ${String(rssMib)} MiB (bar 130)\n`);
  await writeFile(
    'bench/results.json',
    `${JSON.stringify({ ...facts, rssMib, fetchMemory, durabilityFigures, results }, undefined, 2)}\n`,
  );
} finally {
  await fetching?.close();
  await rbd?.close();
  await daemon?.stop();
  if (mounted) await sh('umount', xfs);
  await rm(folder, { recursive: true, force: true });
}

async function mountXfs(): Promise<boolean> {
  const disk = join(folder, 'xfs.disk');
  await sh('truncate', '-s', '40G', disk);
  if ((await tryRun('mkfs.xfs', ['-q', '-m', 'reflink=1', disk])).code !== 0) return false;
  return (await tryRun('mount', ['-o', 'loop', disk, xfs])).code === 0;
}
