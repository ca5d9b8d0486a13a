/**
 * Hostile headers. `make fuzz` runs more of it (FUZZ=executions, SEED=n, FUZZ_SECONDS for the
 * lengths).
 */
import assert from 'node:assert/strict';
import { lstat, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { overcommitted } from '../../src/adapters/index/overcommit.js';
import { RootIndex } from '../../src/adapters/index/root-index.js';
import { readContent } from '../../src/domain/formats/content.js';
import { judge, mutate } from '../support/images/fuzz.js';
import { inMemory, readEverything, readHeader } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { makeDisks, makeSeeds, type Seed } from '../support/images/seeds.js';
import { distort } from '../support/images/structures.js';
import { randomNumbers } from '../support/soak.js';

const EXECUTIONS = Number(process.env['FUZZ'] ?? '20000');
const SEED = Number(process.env['SEED'] ?? '1');
/** In `make fuzz` all lengths to 1 MiB. */
const LENGTHS = process.env['FUZZ'] === undefined ? 8 << 10 : 1 << 20;
/**
 * So far apart are the lengths of one round; what is not reached in time is spread over all of
 * them.
 */
const STRIDE = 64;
const LENGTHS_MS = Number(process.env['FUZZ_SECONDS'] ?? '1500') * 1000;
/** For one header. */
const SLOW_MS = 100;

/**
 * What a question of the index and of the figure of overcommitted bytes read of a file, wherever it
 * begins.
 */
async function assertLooked(folder: string, contents: readonly Buffer[]): Promise<void> {
  await Promise.all(contents.map((content, n) => writeFile(join(folder, `${String(n)}.raw`), content)));
  const { dev: device, ino: inode } = await lstat(folder, { bigint: true });
  const index = new RootIndex(
    folder,
    { device, inode },
    [],
    () => undefined,
    () => undefined,
  );
  await index.refresh({ device, inode });
  assert.deepEqual(index.dependantsOf({ device, inode }).unseen, []);
  for (const sum of (await overcommitted([folder], [], () => undefined)).values())
    assert.ok(sum >= 0n && sum < 2n ** 64n);
}

describe('hostile headers', function () {
  this.timeout(60 * 60_000);
  const scratch = scratchFolder();
  let seeds: Seed[] = [];
  before(async () => {
    seeds = await makeSeeds(scratch.path());
  });

  it('every seed is read as it is', async () => {
    for (const { name, content } of seeds) assert.ok((await readHeader(inMemory(content))) !== undefined, name);
    for (const { content } of makeDisks()) {
      await readEverything(inMemory(content));
      assert.deepEqual((await readContent(inMemory(content))).findings, []);
    }
  });

  it('cut short at every sector, and one byte to each side of it', async () => {
    for (const { name, content } of [...seeds, ...makeDisks()])
      for (let sector = 512; sector <= content.length; sector += sector < 65_536 ? 512 : 4096)
        for (const length of [sector - 1, sector, sector + 1])
          assert.equal(
            await judge(inMemory(content.subarray(0, length))),
            undefined,
            `${name}, ${String(length)} bytes`,
          );
  });

  it(`cut short at every length to ${String(LENGTHS)}`, async () => {
    const end = performance.now() + LENGTHS_MS;
    const most = (content: Buffer) => Math.min(LENGTHS, content.length);
    let done = 0;
    for (let first = 0; first < STRIDE && performance.now() < end; first++)
      for (const { name, content } of seeds)
        for (let length = first; length < most(content); length += STRIDE, done++)
          assert.equal(
            await judge(inMemory(content.subarray(0, length))),
            undefined,
            `${name}, ${String(length)} bytes`,
          );
    const all = seeds.reduce((sum, { content }) => sum + most(content), 0);
    process.stdout.write(`      ${String(done)} of ${String(all)} lengths\n`);
  });

  it('the index of dependants and the figure of what disks may grow by survive them all', async () => {
    const random = randomNumbers(SEED);
    const folder = scratch.path('looked');
    await mkdir(folder);
    for (let round = 0; round < Math.ceil(EXECUTIONS / 5000); round++) {
      const contents = Array.from({ length: 200 }, () => {
        const seed = seeds[Math.floor(random() * seeds.length)];
        if (seed === undefined) throw new Error('no seeds');
        const content = seed.content.subarray(0, 1 << 17);
        return random() < 0.5 ? distort(seed.name, content, random) : mutate(content, random);
      });
      await assertLooked(folder, contents);
    }
  });

  it(`${String(EXECUTIONS)} mutations, seed ${String(SEED)}`, async () => {
    const random = randomNumbers(SEED);
    const all = [...seeds, ...makeDisks()];
    let slowest = 0;
    for (let n = 0; n < EXECUTIONS; n++) {
      const seed = all[Math.floor(random() * all.length)];
      if (seed === undefined) throw new Error('no seeds');
      // Half of them know where the numbers are.
      const content = random() < 0.5 ? distort(seed.name, seed.content, random) : mutate(seed.content, random);
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
