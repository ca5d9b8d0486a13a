/**
 * `make bench`: ours beside the bare tools, in one run. `make bench ONLY=copy` runs the cases whose
 * name has that word; what else was measured before stays in the results.
 */
import { mkdtemp, rm } from 'node:fs/promises';
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
import { measure, print, type Case } from './harness.js';
import { durability, printFigure } from './durability.js';
import { processorMs } from './processor-time.js';
import { keep, readResults, writeResults } from './results.js';
import { ownerCases } from './owner-cases.js';
import { openRbdBench } from './rbd-cases.js';
import { sandboxCases } from './sandbox-cases.js';
import { commandCases, startCase, toolStartCase } from './process-cases.js';
import { smallCases } from './small-cases.js';

const RESULTS = 'bench/results.json';
const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'hostler-bench-'));
const only = process.argv[2] ?? process.env['ONLY'] ?? '';
const kept = await readResults(RESULTS);
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
  await measureApart();
  const cache = mounted ? `[cache]\npath = "${xfs}/cache"\n` : '';
  const options = { toml: `[limits]\nrunning_operations_per_filesystem = 8\ncallers_part = 1\n${cache}` };
  const used = await Daemon.start(folder, options);
  daemon = used;
  if ('rbd: '.includes(only) || only.includes('rbd')) rbd = await openRbdBench(join(folder, 'rbd'));
  if ('fetch: '.includes(only) || only.includes('fetch'))
    fetching = await openFetchBench(join(folder, 'fetch'), used, mounted ? xfs : undefined);
  const wanted = ({ name }: Case) => name.includes(only);
  const local = (of: Daemon) => localCases(of, mounted ? xfs : undefined).filter(wanted);
  const others = [...(fetching?.cases ?? []), ...(rbd?.cases ?? [])].filter(wanted);
  const done: string[] = [];
  for (const each of [...local(used), ...others]) {
    await measureIn(used, each, 'used', done);
    done.push(each.name);
  }
  const fetchMemory = (await fetching?.memory()) ?? [];
  for (const { sizeMib, peakMib } of fetchMemory)
    process.stdout.write(`peak memory of a fetch of ${String(sizeMib)} MiB: ${String(peakMib)} MiB (bar: the same)\n`);
  const rssMib = await residentMib(used);
  process.stdout.write(`\nresident memory after all of that: ${String(rssMib)} MiB (bar 130)\n`);
  // What needs other servers is bound to the daemon that was there when they were started.
  for (const { name } of local(used)) {
    await daemon.stop();
    await rm(join(folder, 'state'), { recursive: true });
    const fresh = await Daemon.start(folder, options);
    daemon = fresh;
    const again = local(fresh).find((each) => each.name === name);
    if (again !== undefined) await measureIn(fresh, again, 'fresh', []);
  }
  await writeResults(RESULTS, {
    ...kept,
    rssMib,
    ...(fetchMemory.length === 0 ? {} : { fetchMemory }),
    ...(durabilityFigures.length === 0 ? {} : { durabilityFigures }),
  });
} finally {
  await fetching?.close();
  await rbd?.close();
  await daemon?.stop();
  if (mounted) await sh('umount', xfs);
  await rm(folder, { recursive: true, force: true });
}

/** All that one daemon and the bare tools can do on this host. */
function localCases(of: Daemon, reflinks: string | undefined): Case[] {
  return [
    ...infoCases(of),
    ...inventoryCases(of),
    ...smallCases(of),
    ...commandCases(of),
    ...folderCases(of),
    ...sandboxCases(of),
    ...ownerCases(of),
    ...convertCases(of),
    ...copyCases(of, reflinks),
    ...digestCases(of),
  ];
}

/** What needs no daemon that serves. */
async function measureApart(): Promise<void> {
  const wanted = ({ name }: Case) => name.includes(only);
  const starting = await startCase(join(folder, 'start'));
  const tools = await toolStartCase();
  try {
    for (const each of [starting, tools.each].filter(wanted)) {
      const result = await measure(each);
      print(result);
      keep(kept, { ...result, daemon: { state: 'apart', residentMib: 0, before: [] } });
    }
  } finally {
    await tools.close();
  }
}

async function measureIn(of: Daemon, each: Case, state: 'used' | 'fresh', before: readonly string[]): Promise<void> {
  const { pid } = of.process;
  if (pid === undefined) throw new Error('the daemon has no process');
  const mib = await residentMib(of);
  const result = await measure(each, () => processorMs(pid));
  process.stdout.write(`\nin a ${state} daemon of ${String(mib)} MiB, after ${String(before.length)} other cases:`);
  print(result);
  keep(kept, { ...result, daemon: { state, residentMib: mib, before: [...before] } });
}

async function residentMib({ process: { pid } }: Daemon): Promise<number> {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(await sh('cat', `/proc/${String(pid)}/status`))?.[1]) / 1024);
}

async function mountXfs(): Promise<boolean> {
  const disk = join(folder, 'xfs.disk');
  await sh('truncate', '-s', '40G', disk);
  if ((await tryRun('mkfs.xfs', ['-q', '-m', 'reflink=1', disk])).code !== 0) return false;
  return (await tryRun('mount', ['-o', 'loop', disk, xfs])).code === 0;
}
