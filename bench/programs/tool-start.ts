/**
 * Starts tools on demand, in a process of so many MiB as the first argument says. For a line `WAY
 * COUNT` it prints how long one start held the event loop, in ms: the median. First it prints how
 * many MiB it has.
 */
import { createInterface } from 'node:readline';
import { nodeStart } from '../../src/adapters/process/start/node-start.js';
import { start } from '../../src/adapters/process/start/start.js';
import type { Start } from '../../src/adapters/process/start/started.js';

const MIB = 1 << 20;
const OPTIONS = { env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, fds: [], stdin: false };
const WORDS = ['/usr/bin/setpriv', ['--pdeathsig', 'KILL', 'true']] as const;

/** Touched, so that the pages are there. */
const ballast: Buffer[] = [];
const residentMib = () => Math.floor(process.memoryUsage.rss() / MIB);
while (residentMib() < Number(process.argv[2])) ballast.push(Buffer.alloc(4 * MIB, 1));
process.stdout.write(`${String(residentMib())}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const [way, count] = line.split(' ');
  const held: number[] = [];
  for (let n = 0; n < Number(count); n++) held.push(await heldBy(way === 'node' ? nodeStart : start));
  held.sort((a, b) => a - b);
  process.stdout.write(`${String(held[held.length >> 1])}\n`);
}

/** The longest turn of the event loop from a start until the tool runs. */
async function heldBy(way: Start): Promise<number> {
  const turns = { longest: 0, last: performance.now(), over: false };
  const turn = () => {
    const now = performance.now();
    turns.longest = Math.max(turns.longest, now - turns.last);
    turns.last = now;
    if (!turns.over) setImmediate(turn);
  };
  setImmediate(turn);
  const child = await way(...WORDS, OPTIONS);
  turn();
  turns.over = true;
  child.stdout.resume();
  child.stderr.resume();
  await child.ended;
  return turns.longest;
}
