/** DigestImage on real files. */
import assert from 'node:assert/strict';
import { readFile, truncate, writeFile, appendFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { blockDigest, noise, sparseFile } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { HOSTLER } from '../../support/daemon.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const BLOCK = 4 * MIB;

describe('DigestImage', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const digest = async (name: string) =>
    (await daemon.get().stranger.operation('ImageService/DigestImage', { path: image(name) }))['digest'] as Message;

  for (const length of [0, 1, 511, 513, MIB + 777, BLOCK, 9 * BLOCK + 1]) {
    it(`of ${String(length)} bytes is sha256 over the sha256 of each 4 MiB`, async () => {
      const name = `length-${String(length)}`;
      await writeFile(image(name), noise(length));
      assert.deepEqual(await digest(name), {
        algorithm: 'sha256-4m-blocks',
        digest: blockDigest(await readFile(image(name))),
        ...(length === 0 ? {} : { length_bytes: String(length) }),
      });
    });
  }

  it('is equal whatever the sparseness', async () => {
    await sparseFile(image('sparse'), 64 * MIB + 3, [
      { at: 0, length: MIB },
      { at: 33 * MIB + 5, length: 3 * MIB },
    ]);
    await writeFile(image('dense'), await readFile(image('sparse')));
    assert.equal((await digest('sparse'))['digest'], (await digest('dense'))['digest']);
  });

  it('of 8 TiB of hole comes at once', async () => {
    await writeFile(image('huge'), '');
    await truncate(image('huge'), 8 * 1024 ** 4);
    const { length_bytes: length } = await digest('huge');
    assert.equal(length, String(8 * 1024 ** 4));
  });

  it('a file that was changed gets another one, however soon', async () => {
    await writeFile(image('changing'), noise(MIB));
    const seen = new Set<unknown>();
    for (let round = 0; round < 5; round++) {
      seen.add((await digest('changing'))['digest']);
      await appendFile(image('changing'), Buffer.alloc(1));
    }
    assert.equal(seen.size, 5);
  });

  it('plans, and the command prints it', async () => {
    await writeFile(image('small'), 'x');
    const plan = await daemon
      .get()
      .stranger.operation('ImageService/DigestImage', { path: image('small'), plan_only: true });
    assert.equal((plan['plan'] as Message)['method'], 'sha256-4m-blocks');
    const { stdout, code } = await tryRun(HOSTLER, [
      '--address',
      daemon.get().address,
      'image',
      'digest',
      image('small'),
    ]);
    assert.equal(code, 0);
    assert.ok(stdout.startsWith(`sha256-4m-blocks:${blockDigest(Buffer.from('x'))}`), stdout);
  });

  it('fails as all others do', async () => {
    const error = await failure(digest('missing'));
    assert.equal(error.reason, 'IMAGE_NOT_FOUND');
  });
});
