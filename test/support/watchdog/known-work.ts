/** How much slower than a known machine this one is at this moment: its speed, and what others leave of its caches and cores. */

/** What a daemon's turns are made of: text into objects, and back. */
const TEXT = JSON.stringify(
  Array.from({ length: 2000 }, (_, n) => ({ name: `image-${String(n)}`, size: n * 4096, tags: ['a', 'b'], at: null })),
);
/** Of processor time, on the known machine with nothing beside it. */
const KNOWN_MS = 1;

/** Processor time of this thread, in ms. */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** The middle one of three tries, and at least 1. */
export function slowness(): number {
  const [, ms = KNOWN_MS] = [once(), once(), once()].sort((a, b) => a - b);
  return Math.max(1, ms / KNOWN_MS);
}

function once(): number {
  const begun = threadMs();
  JSON.stringify(JSON.parse(TEXT));
  return threadMs() - begun;
}

// The first time it is compiled too.
once();
