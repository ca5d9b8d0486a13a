/** Hostile headers. `make fuzz` runs more of it (FUZZ=executions, SEED=n). */
import assert from 'node:assert/strict';
import { judge, mutate } from '../support/fuzz.js';
import { inMemory, readHeader } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { makeSeeds, type Seed } from '../support/seeds.js';
import { randomNumbers } from '../support/soak.js';

const EXECUTIONS = Number(process.env['FUZZ'] ?? '20000');
const SEED = Number(process.env['SEED'] ?? '1');
/** In `make fuzz` all lengths to 1 MiB. */
const LENGTHS = process.env['FUZZ'] === undefined ? 8 << 10 : 1 << 20;
/** For one header. */
const SLOW_MS = 100;

describe('hostile headers', function () {
  this.timeout(60 * 60_000);
  const scratch = scratchFolder();
  let seeds: Seed[] = [];
  before(async () => {
    seeds = await makeSeeds(scratch.path());
  });

  it('every seed is read as it is', async () => {
    for (const { name, content } of seeds) assert.ok((await readHeader(inMemory(content))) !== undefined, name);
  });

  it(`cut short at every length to ${String(LENGTHS)}`, async () => {
    for (const { name, content } of seeds) {
      for (let length = 0; length < Math.min(LENGTHS, content.length); length++)
        assert.equal(await judge(inMemory(content.subarray(0, length))), undefined, `${name}, ${String(length)} bytes`);
    }
  });

  it(`${String(EXECUTIONS)} mutations, seed ${String(SEED)}`, async () => {
    const random = randomNumbers(SEED);
    let slowest = 0;
    for (let n = 0; n < EXECUTIONS; n++) {
      const seed = seeds[Math.floor(random() * seeds.length)];
      if (seed === undefined) throw new Error('no seeds');
      const content = mutate(seed.content, random);
      const started = performance.now();
      const wrong = await judge(inMemory(content));
      slowest = Math.max(slowest, performance.now() - started);
      assert.equal(
        wrong,
        undefined,
        `${seed.name}, execution ${String(n)}: ${content.subarray(0, 1024).toString('base64')}`,
      );
    }
    process.stdout.write(`      slowest header: ${slowest.toFixed(1)} ms (bar ${String(SLOW_MS)})\n`);
  });
});
