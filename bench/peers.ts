/**
 * The programs that ours is held against. The bench itself grows to hundreds of megabytes, and a
 * fork from it would count as theirs: a small process starts them.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const STARTER = fileURLToPath(new URL('../../bench/programs/starter.sh', import.meta.url));
const child = spawn(STARTER, { stdio: ['pipe', 'pipe', 'inherit'] });
// The bench may end while it waits for words.
child.unref();
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
let [busy, cpuMs] = [false, 0];

/** Runs a program to its end. Throws when it fails; what it says of that is on standard error. */
export async function peer(...words: readonly string[]): Promise<void> {
  if (busy) throw new Error('one peer at a time');
  busy = true;
  try {
    child.stdin.write([String(words.length), ...words, ''].join('\0'));
    const [code, , children] = [await line(), await line(), await line()];
    cpuMs = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
      (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000,
      0,
    );
    if (code !== '0') throw new Error(`${words.join(' ')}: exit code ${code}`);
  } finally {
    busy = false;
  }
}

/** Processor time in milliseconds of all peers that ended until now. */
export function peersCpuMs(): number {
  return cpuMs;
}

async function line(): Promise<string> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error('the process that starts peers has ended');
  return value;
}
