/** Memory between what is still used goes back to the system. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../support/daemon.js';
import { sh } from '../support/shell.js';

/** Drops all but each 50th of 40,000 buffers of 4,000 bytes. Prints MiB before and after. */
const SCRIPT = (module: string) => `
import { loadTrim } from ${JSON.stringify(module)};
const mib = () => Math.round(process.memoryUsage.rss() / (1 << 20));
let kept = Array.from({ length: 40_000 }, () => Buffer.allocUnsafeSlow(4000).fill(1));
kept = kept.filter((_, n) => n % 50 === 0);
gc();
const before = mib();
// V8 frees buffers in a thread of its own.
for (let tries = 0; tries < 100 && mib() + 40 >= before; tries++) await new Promise((resolve) => loadTrim()(resolve));
console.log(JSON.stringify({ before, after: mib(), kept: kept.length }));
`;

describe('memory that was freed', () => {
  it('goes back to the system', async () => {
    const script = SCRIPT(join(ROOT_FOLDER, 'dist/src/adapters/linux/free-memory.js'));
    const printed = await sh(process.execPath, '--expose-gc', '--input-type=module', '-e', script);
    const { before, after } = JSON.parse(printed) as { before: number; after: number };
    assert.ok(after + 40 < before, `${String(before)} MiB, and ${String(after)} after`);
  });
});
