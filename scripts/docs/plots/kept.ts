/** What docs show of the last bench whose figures were kept. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';

const spread = z.object({ median: z.number(), min: z.number(), max: z.number() });
const kept = z.object({
  name: z.string(),
  bar: z.string(),
  limit: z.union([z.object({ ms: z.number() }), z.object({ times: z.number(), of: z.string() })]).optional(),
  rounds: z.number(),
  figures: z.array(z.object({ contender: z.string(), wallMs: spread, cpuMs: z.number(), clientCpuMs: z.number() })),
  ratios: z.record(z.string(), spread),
  loadAverage: z.number(),
  measured: z.string(),
  daemon: z.object({ state: z.enum(['used', 'fresh', 'apart']), residentMib: z.number(), before: z.array(z.string()) }),
});
const figures = z.object({
  machine: z.object({ processors: z.number(), kernel: z.string(), node: z.string(), qemu: z.string() }),
  cases: z.array(kept),
});

export type Kept = z.infer<typeof kept>;
export type Spread = z.infer<typeof spread>;

/** From the file in the repository; run in its folder. Fails where that has another form. */
export function keptFigures(): z.infer<typeof figures> {
  return figures.parse(JSON.parse(readFileSync('bench/kept-results.json', 'utf8')));
}

/** The name of a plot: lower case, with hyphens. */
export function plotName({ name, daemon }: Kept): string {
  const words = name.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `${words.join('-')}-${daemon.state}.svg`;
}
