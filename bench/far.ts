/**
 * `make bench-far`: copies between hosts beside the bare tools; about ten minutes, because rsync
 * reads every hole. Needs root.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFarBench } from './far-cases.js';
import { measure, print, type CaseResult } from './harness.js';

const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'hostler-bench-'));
const only = process.argv[2] ?? process.env['ONLY'] ?? '';
const results: CaseResult[] = [];
try {
  const far = await openFarBench(folder);
  try {
    for (const each of far.cases) {
      if (!each.name.includes(only)) continue;
      const result = await measure(each);
      results.push(result);
      print(result);
    }
  } finally {
    await far.close();
  }
  await writeFile('bench/far-results.json', `${JSON.stringify({ results }, undefined, 2)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
