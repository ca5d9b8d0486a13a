import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Hostler } from '@hostler/client';
import { TRANSPORTS, daemon } from './daemon.ts';

const MIB = 2 ** 20;
const sha = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

for (const [name, transport] of TRANSPORTS)
  describe(`files by ${name}`, () => {
    const image = (file: string) => daemon().image(`${name}-${file}`);
    const local = (file: string) => join(folder, file);
    let folder: string;
    let hostler: Hostler;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'hostler-files-'));
      hostler = await daemon().connect({ transport });
      // Data, a hole of more than a block of the digest, data, and a hole at the end.
      const file = await open(local('disk.raw'), 'w');
      await file.write(randomBytes(5 * MIB), 0, 5 * MIB, 0);
      await file.write(randomBytes(3 * MIB + 512), 0, 3 * MIB + 512, 20 * MIB);
      await file.truncate(30 * MIB);
      await file.close();
    });
    after(async () => {
      hostler.close();
      await rm(folder, { recursive: true });
    });

    it('there and back', async () => {
      const progress: number[] = [];
      const info = await hostler.upload(
        local('disk.raw'),
        { target: image('up.raw'), format: 'raw' },
        { onProgress: ({ doneBytes }) => progress.push(doneBytes) },
      );
      assert.equal(info.virtualSizeBytes, BigInt(30 * MIB));
      assert.equal(progress.at(-1), 30 * MIB);
      assert.equal(await sha(image('up.raw')), await sha(local('disk.raw')));
      assert.equal(await hostler.download({ path: image('up.raw') }, local('down.raw')), 30 * MIB);
      assert.equal(await sha(local('down.raw')), await sha(local('disk.raw')));
    });

    it('an upload goes on after kill -9', async () => {
      let killed: Promise<void> | undefined;
      const info = await hostler.upload(
        local('disk.raw'),
        { target: image('killed.raw'), format: 'raw' },
        {
          bytesPerSecond: 6 * MIB,
          onProgress: ({ doneBytes }) => {
            if (doneBytes > 3 * MIB) killed ??= daemon().order('kill');
          },
        },
      );
      assert.ok(killed !== undefined);
      await killed;
      assert.equal(info.virtualSizeBytes, BigInt(30 * MIB));
      assert.equal(await sha(image('killed.raw')), await sha(local('disk.raw')));
    });

    it('an upload that was given up goes on with the next one', async () => {
      const request = { target: image('later.raw'), format: 'raw' };
      const stop = new AbortController();
      const first = hostler.upload(local('disk.raw'), request, {
        signal: stop.signal,
        bytesPerSecond: 2 * MIB,
        onProgress: ({ doneBytes }) => {
          if (doneBytes > 4 * MIB) stop.abort();
        },
      });
      await assert.rejects(first, { name: 'AbortError' });
      await hostler.upload(local('disk.raw'), request);
      assert.equal(await sha(image('later.raw')), await sha(local('disk.raw')));
    });

    it('a download goes on after kill -9', async () => {
      await copyFile(local('disk.raw'), image('source.raw'));
      let killed: Promise<void> | undefined;
      const length = await hostler.download({ path: image('source.raw') }, local('killed.raw'), {
        bytesPerSecond: 6 * MIB,
        onProgress: ({ doneBytes }) => {
          if (doneBytes > 2 * MIB) killed ??= daemon().order('kill');
        },
      });
      assert.ok(killed !== undefined);
      await killed;
      assert.equal(length, 30 * MIB);
      assert.equal(await sha(local('killed.raw')), await sha(local('disk.raw')));
    });

    it('what fails leaves nothing behind', async () => {
      await writeFile(local('here.raw'), 'mine');
      await assert.rejects(hostler.download({ path: image('up.raw') }, local('here.raw')), {
        name: 'ConfigurationError',
        message: /here\.raw exists/,
      });
      await hostler.download({ path: image('up.raw'), overwrite: true }, local('here.raw'));
      await assert.rejects(hostler.download({ path: image('none') }, local('none.raw')), { reason: 'FILE_NOT_FOUND' });
      await assert.rejects(hostler.upload(local('disk.raw'), { target: image('up.raw'), format: 'raw' }), {
        reason: 'TARGET_EXISTS',
      });
      await writeFile(local('text.qcow2'), 'no image');
      await assert.rejects(hostler.upload(local('text.qcow2'), { target: image('text.qcow2'), format: 'qcow2' }), {
        reason: 'FORMAT_MISMATCH',
      });
      assert.deepEqual(
        (await readdir(folder)).filter((file) => file.startsWith('.')),
        [],
      );
    });
  });
