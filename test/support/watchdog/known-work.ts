/**
 * How much slower than a known machine this one is at this moment: its speed, and what others leave
 * of its caches and cores.
 */

/** What a daemon's turns are made of: text into objects, and back. */
const TEXT = JSON.stringify(
  Array.from({ length: 2000 }, (_, n) => ({ name: `image-${String(n)}`, size: n * 4096, tags: ['a', 'b'], at: null })),
);
/** So many that the kernel, which counts in its own ticks, measures well. */
const ROUNDS = 20;
/** Processor time of all rounds on the known machine with nothing beside it. */
const KNOWN_MS = 15;

/** Processor time of this thread, in ms. */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** At least 1. */
export function slowness(): number {
  const begun = threadMs();
  for (let n = 0; n < ROUNDS; n++) JSON.stringify(JSON.parse(TEXT));
  return Math.max(1, (threadMs() - begun) / KNOWN_MS);
}
