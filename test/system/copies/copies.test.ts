/** Copies, and names of all kinds through every verb. */
import assert from 'node:assert/strict';
import { stat, symlink, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, noise, sameBytes, sparseFile } from '../../support/images/disks.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('copies and names', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const info = async (path: string, format: string) =>
    (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path, format }))['info'] as Message;

  before(async () => {
    await sparseFile(image('source.raw'), 64 * MIB, [
      { at: 0, length: MIB },
      { at: 33 * MIB + 5, length: 3 * MIB },
    ]);
  });
  scratch.onEnd(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  describe('CopyImage', () => {
    for (const length of [0, 1, 511, 513, MIB + 777]) {
      it(`parity row 3: copies ${String(length)} bytes exactly`, async () => {
        const [source, target] = [image(`length-${String(length)}`), image(`copy-${String(length)}`)];
        await writeFile(source, noise(length));
        const result = await run('CopyImage', { source, target, verify: true });
        const copy = result['copy'] as Message;
        assert.ok(await sameBytes(source, target));
        assert.equal(copy['length_bytes'] ?? '0', String(length));
        assert.equal(copy['verified'], true);
        assert.match(String(copy['why']), /./);
      });
    }

    it('parity row 3: keeps holes', async () => {
      await run('CopyImage', { source: image('source.raw'), target: image('sparse-copy.raw') });
      assert.ok(await sameBytes(image('source.raw'), image('sparse-copy.raw')));
      const [before, after] = [
        await allocatedBytes(image('source.raw')),
        await allocatedBytes(image('sparse-copy.raw')),
      ];
      assert.ok(Math.abs(after - before) <= before * 0.02 + 65536, `${String(before)} ${String(after)}`);
    });

    it('preserves full allocation when asked', async () => {
      await run('CreateImage', {
        path: image('allocated.raw'),
        format: 'raw',
        size: '4M',
        preallocation: 'PREALLOCATION_FALLOC',
      });
      await run('CopyImage', { source: image('allocated.raw'), target: image('thin.raw') });
      await run('CopyImage', { source: image('allocated.raw'), target: image('thick.raw'), preserve_allocation: true });
      assert.ok((await allocatedBytes(image('thin.raw'))) < MIB);
      assert.ok((await allocatedBytes(image('thick.raw'))) >= 4 * MIB);
    });

    it('a REFLINK that is demanded where it is impossible is refused', async function () {
      const type = (await sh('stat', '-f', '-c', '%T', image(''))).trim();
      needs(
        this,
        type === 'ext2/ext3' || type === 'tmpfs',
        `the scratch folder is on ${type}, which may share extents`,
      );
      const error = await failure(
        run('CopyImage', { source: image('source.raw'), target: image('no.raw'), engine: 'COPY_ENGINE_REFLINK' }),
      );
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND');
    });

    it('follows a link inside the root', async () => {
      await symlink('source.raw', image('inside-link'));
      await run('CopyImage', { source: image('inside-link'), target: image('from-link.raw') });
      assert.ok(await sameBytes(image('source.raw'), image('from-link.raw')));
    });
  });

  describe('names', () => {
    const odd = {
      comma: 'a,b,,c',
      quote: `it's "quoted"`,
      newline: 'two\nlines',
      dash: '-O',
      long: 'n'.repeat(255),
      unicode: 'Größe-磁盘',
      colon: 'nbd:x',
      percent: '100%',
    };
    for (const [kind, name] of Object.entries(odd)) {
      it(`with ${kind} works everywhere`, async () => {
        const path = image(name);
        await run('CreateImage', { path, format: 'qcow2', size: '1M' });
        assert.equal((await info(path, 'qcow2'))['path'], path);
        const over = image(`${kind}-over`);
        await run('CreateOverlay', { path: over, backing_file: path, backing_format: 'qcow2' });
        assert.equal((await info(over, 'qcow2'))['backing_file'], path);
        await run('ConvertImage', {
          source: over,
          source_format: 'qcow2',
          target: image(`${kind}.raw`),
          target_format: 'raw',
        });
        await run('ConvertImage', {
          source: image(`${kind}.raw`),
          source_format: 'raw',
          target: path,
          target_format: 'qcow2',
          overwrite: true,
          allow_dependants: true,
        });
        await run('CopyImage', { source: path, target: image(`${kind}-copy`) });
        await daemon.get().stranger.unary('ImageService/MeasureImage', { path, format: 'qcow2', target_format: 'raw' });
        await daemon.get().stranger.all('ImageService/MapImage', { path, format: 'qcow2' });
        await run('DeleteImage', { path, allow_dependants: true });
        await assert.rejects(stat(path));
      });
    }
  });
});
