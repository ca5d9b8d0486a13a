/** The image verbs on real images, against qemu-img's own word. */
import assert from 'node:assert/strict';
import { lstat, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, noise, qemuInfo, sparseFile } from '../../support/images/disks.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('image verbs', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const info = async (path: string, format?: string) =>
    (
      await daemon
        .get()
        .stranger.unary('ImageService/GetImageInfo', { path, ...(format === undefined ? {} : { format }) })
    )['info'] as Message;

  scratch.onEnd(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  describe('CreateImage', () => {
    for (const format of ['raw', 'qcow2', 'qed', 'vdi', 'vmdk', 'vpc', 'vhdx', 'parallels']) {
      it(`parity row 5: makes ${format} as qemu-img would`, async () => {
        const path = image(`created.${format}`);
        await run('CreateImage', { path, format, size: '16M' });
        const theirs = await qemuInfo(path, format);
        const ours = await info(path, format);
        assert.equal(theirs['format'], format);
        assert.equal(ours['virtual_size_bytes'], String(theirs['virtual-size']));
        assert.equal((await stat(path)).mode & 0o7777, 0o600);
      });
    }

    it('makes luks with a passphrase that opens it', async () => {
      const path = image('created.luks');
      await run('CreateImage', {
        path,
        format: 'luks',
        size: '1M',
        encryption: { format: 'luks', passphrase: Buffer.from('open sesame') },
      });
      await writeFile(scratch.path('key'), 'open sesame');
      await sh(
        'qemu-img',
        'check',
        '--object',
        `secret,id=k,file=${scratch.path('key')}`,
        '--image-opts',
        `driver=luks,key-secret=k,file.filename=${path}`,
      ).catch((error: unknown) => {
        // luks has no check: reaching that answer means that the key fits.
        assert.match(String(error), /does not support checks/);
      });
      assert.ok(!daemon.get().log.includes('open sesame'));
      await run('ConvertImage', {
        source: path,
        source_format: 'luks',
        target: image('opened.raw'),
        target_format: 'raw',
        source_secret: { passphrase: Buffer.from('open sesame') },
      });
      assert.equal((await stat(image('opened.raw'))).size, MIB);
      const locked = { source: path, source_format: 'luks', target: image('locked.raw'), target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', locked))).reason, 'SECRET_REQUIRED');
      const wrong = { ...locked, source_secret: { passphrase: Buffer.from('guess') } };
      assert.equal((await failure(run('ConvertImage', wrong))).reason, 'SECRET_REQUIRED');
    });

    it('parity row 5: rounds raw sizes up to 512 and warns', async () => {
      const events = await daemon.get().stranger.all('ImageService/CreateImage', {
        path: image('odd.raw'),
        format: 'raw',
        virtual_size_bytes: '1000',
      });
      assert.equal((await stat(image('odd.raw'))).size, 1024);
      const id = events[0]?.['operation_id'];
      const answer = await daemon.get().stranger.unary('OperationService/GetOperation', { operation_id: id });
      const [warning] = (answer['operation'] as { warnings: { reason: string }[] }).warnings;
      assert.equal(warning?.reason, 'SIZE_ROUNDED_UP');
    });

    for (const [text, bytes] of [
      ['1.5M', 1572864],
      ['1024', 1024],
      ['1K', 1024],
      ['0', 0],
    ] as const) {
      it(`parity row 5: takes the size ${text}`, async () => {
        await run('CreateImage', { path: image(`size-${text}`), format: 'raw', size: text });
        assert.equal((await stat(image(`size-${text}`))).size, bytes);
      });
    }

    it('preallocates', async () => {
      await run('CreateImage', {
        path: image('full.raw'),
        format: 'raw',
        size: '4M',
        preallocation: 'PREALLOCATION_FALLOC',
      });
      assert.ok((await allocatedBytes(image('full.raw'))) >= 4 * MIB);
    });

    it('parity row 5: overwrites only when asked, and keeps owner and mode', async function () {
      needs(this, isRoot, 'needs root to own a file as somebody else');
      const path = image('again.qcow2');
      await run('CreateImage', {
        path,
        format: 'qcow2',
        size: '1M',
        attributes: { owner: 'daemon', group: '12', mode: 0o640 },
      });
      const first = await stat(path);
      assert.deepEqual([first.uid, first.gid, first.mode & 0o7777], [1, 12, 0o640]);
      await run('CreateImage', { path, format: 'qcow2', size: '2M', overwrite: true });
      const second = await stat(path);
      assert.deepEqual([second.uid, second.gid, second.mode & 0o7777], [1, 12, 0o640]);
      assert.equal((await info(path))['virtual_size_bytes'], String(2 * MIB));
    });

    it('overwriting a link replaces the link, not what it names', async () => {
      await writeFile(image('named'), 'precious');
      await symlink('named', image('link'));
      await run('CreateImage', { path: image('link'), format: 'raw', size: '1K', overwrite: true });
      assert.equal(await readFile(image('named'), 'utf8'), 'precious');
      assert.ok((await lstat(image('link'))).isFile());
    });
  });

  describe('CreateOverlay', () => {
    it("parity row 4: takes the base's size and cluster size, and names the base as given", async () => {
      const base = image('base,with,commas.qcow2');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=131072', base, '64M');
      await run('CreateOverlay', { path: image('over.qcow2'), backing_file: base, backing_format: 'qcow2' });
      const theirs = await qemuInfo(image('over.qcow2'), 'qcow2');
      assert.equal(theirs['backing-filename'], base);
      assert.equal(theirs['backing-filename-format'], 'qcow2');
      assert.equal(theirs['virtual-size'], 64 * MIB);
      assert.equal(theirs['cluster-size'], 131072);
    });

    it('parity row 4: a base that is an overlay needs allow_chain; the chain is answered nearest first', async () => {
      const [base, over] = [image('of, two.qcow2'), image('middle.qcow2')];
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '1M');
      await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', base, over, '1M');
      const request = { path: image('top.qcow2'), backing_file: over, backing_format: 'qcow2' };
      assert.equal((await failure(run('CreateOverlay', request))).reason, 'BASE_HAS_BACKING_FILE');
      await run('CreateOverlay', { ...request, allow_chain: true });
      const answer = await daemon.get().stranger.unary('ImageService/GetImageInfo', {
        path: image('top.qcow2'),
        format: 'qcow2',
        backing_chain: true,
      });
      const chain = answer['backing_chain'] as { path: string }[];
      assert.deepEqual(
        chain.map(({ path }) => path),
        [over, base],
      );
    });

    it('parity row 4: a raw base of an odd length', async () => {
      await writeFile(image('odd-base.raw'), noise(1000));
      await run('CreateOverlay', {
        path: image('odd-over.qcow2'),
        backing_file: image('odd-base.raw'),
        backing_format: 'raw',
      });
      assert.equal((await qemuInfo(image('odd-over.qcow2'), 'qcow2'))['virtual-size'], 1024);
    });

    it('parity row 15: a raw disk in which a guest wrote a qcow2 header is still raw', async () => {
      await sh(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-b',
        '/etc/passwd',
        '-F',
        'raw',
        '-u',
        image('evil.raw'),
        '1M',
      );
      const answer = await info(image('evil.raw'), 'raw');
      assert.equal(answer['format'], 'raw');
      assert.equal(answer['backing_file'], undefined);
      await run('ConvertImage', {
        source: image('evil.raw'),
        source_format: 'raw',
        target: image('evil-copy.raw'),
        target_format: 'raw',
      });
      assert.ok((await readFile(image('evil-copy.raw'))).subarray(0, 4).equals(Buffer.from('QFI\xfb', 'latin1')));
    });

    it('a backing file outside the roots is refused before any tool opens it', async () => {
      const path = image('leads-out.qcow2');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw', '-u', path, '1M');
      const error = await failure(
        run('ConvertImage', { source: path, source_format: 'qcow2', target: image('leak.raw'), target_format: 'raw' }),
      );
      assert.equal(error.reason, 'PATH_OUTSIDE_ROOTS');
      assert.equal((await info(path, 'qcow2'))['backing_file'], '/etc/passwd');
    });
  });

  describe('ConvertImage and ExtractSnapshot', () => {
    before(async () => {
      await sparseFile(image('source.raw'), 64 * MIB, [
        { at: 0, length: MIB },
        { at: 33 * MIB + 5, length: 3 * MIB },
      ]);
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', image('source.raw'), image('source.qcow2'));
    });

    for (const format of ['qcow2', 'qed', 'vdi', 'vmdk', 'vhdx', 'parallels', 'vpc']) {
      it(`raw -> ${format} -> raw gives the same bytes`, async () => {
        const [there, back] = [image(`there.${format}`), image(`back-${format}.raw`)];
        const result = await run('ConvertImage', {
          source: image('source.raw'),
          source_format: 'raw',
          target: there,
          target_format: format,
        });
        assert.equal(((result['image'] as Message)['info'] as Message)['format'], format);
        await run('ConvertImage', { source: there, source_format: format, target: back, target_format: 'raw' });
        // VHD sizes follow the geometry: the disk may have grown.
        await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', image('source.raw'), back);
        assert.ok((await allocatedBytes(back)) < 6 * MIB);
      });
    }

    for (const type of ['COMPRESSION_TYPE_ZLIB', 'COMPRESSION_TYPE_ZSTD']) {
      it(`compresses with ${type}`, async () => {
        const path = image(`${type}.qcow2`);
        await writeFile(image('text.raw'), 'the same line again\n'.repeat(200_000));
        await run('ConvertImage', {
          source: image('text.raw'),
          source_format: 'raw',
          target: path,
          target_format: 'qcow2',
          compress: true,
          compression_type: type,
        });
        assert.ok((await allocatedBytes(path)) < MIB);
        assert.equal((await info(path, 'qcow2'))['compression_type'], type.slice(-4).toLowerCase());
        await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', image('text.raw'), path);
      });
    }

    const names = [
      ['qcow2', 'raw', 'raw'],
      ['qcow2', 'iso', 'raw'],
      ['qcow2', 'qcow2', 'qcow2'],
      ['raw', 'ploop', 'parallels'],
    ] as const;
    for (const [from, to, qemu] of names) {
      it(`parity row 7: extracts ${from} to ${to}`, async () => {
        const source = from === 'raw' ? image('source.raw') : image('source.qcow2');
        const target = image(`extracted-${from}.${to}`);
        await run('ExtractSnapshot', { path: source, source_format: from, target, target_format: to });
        await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', qemu, image('source.raw'), target);
      });
    }

    it('extracts an internal snapshot by a name with a comma', async () => {
      const path = image('snapshots.qcow2');
      await sh('qemu-img', 'convert', '-O', 'qcow2', image('source.raw'), path);
      await sh('qemu-img', 'snapshot', '-c', 'before, after', path);
      await sh('qemu-img', 'resize', '-q', path, '+1M').catch(() => undefined); // refused with snapshots in old versions
      const snapshots = (await info(path, 'qcow2'))['snapshots'] as { name: string }[];
      assert.deepEqual(
        snapshots.map(({ name }) => name),
        ['before, after'],
      );
      await run('ExtractSnapshot', {
        path,
        source_format: 'qcow2',
        target: image('snap.raw'),
        target_format: 'raw',
        snapshot: 'before, after',
      });
      await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', image('source.raw'), image('snap.raw'));
    });

    it('plan_only changes nothing and says what would be done', async () => {
      const result = await run('ConvertImage', {
        source: image('source.raw'),
        source_format: 'raw',
        target: image('planned.qcow2'),
        target_format: 'qcow2',
        plan_only: true,
      });
      const plan = result['plan'] as Message;
      assert.equal(plan['method'], 'convert');
      assert.ok(Number(plan['move_bytes']) >= 4 * MIB && Number(plan['move_bytes']) < 5 * MIB);
      assert.ok(Number(plan['free_bytes']) > 0);
      await assert.rejects(stat(image('planned.qcow2')));
    });
  });

  describe('MapImage and MeasureImage', () => {
    before(async () => {
      await sparseFile(image('mapped.raw'), 64 * MIB, [
        { at: 0, length: MIB },
        { at: 32 * MIB, length: 3 * MIB },
      ]);
      await sh('qemu-img', 'convert', '-O', 'qcow2', image('mapped.raw'), image('mapped.qcow2'));
    });

    it('extents are in order, without gaps, and agree with qemu-img map', async () => {
      const pages = await daemon
        .get()
        .stranger.all('ImageService/MapImage', { path: image('mapped.qcow2'), format: 'qcow2' });
      const extents = pages.flatMap(
        (page) => page['extents'] as { offset_bytes?: string; length_bytes: string; data?: boolean }[],
      );
      let end = 0;
      for (const { offset_bytes = '0', length_bytes } of extents) {
        assert.equal(Number(offset_bytes), end);
        end += Number(length_bytes);
      }
      assert.equal(end, 64 * MIB);
      const theirs = JSON.parse(await sh('qemu-img', 'map', '-f', 'qcow2', '--output=json', image('mapped.qcow2'))) as {
        data: boolean;
      }[];
      assert.deepEqual(
        extents.map(({ data = false }) => data),
        theirs.map(({ data }) => data),
      );
    });

    it('measures as qemu-img does', async () => {
      const answer = await daemon.get().stranger.unary('ImageService/MeasureImage', {
        path: image('mapped.raw'),
        format: 'raw',
        target_format: 'qcow2',
      });
      const theirs = JSON.parse(
        await sh('qemu-img', 'measure', '-f', 'raw', '-O', 'qcow2', '--output=json', image('mapped.raw')),
      ) as Record<string, number>;
      assert.equal(answer['required_bytes'], String(theirs['required']));
      assert.equal(answer['fully_allocated_bytes'], String(theirs['fully-allocated']));
      assert.ok(Number(answer['data_bytes']) >= 4 * MIB);
    });

    it('says so when qemu-img cannot measure', async () => {
      const error = await failure(
        daemon.get().stranger.unary('ImageService/MeasureImage', {
          path: image('mapped.raw'),
          format: 'raw',
          target_format: 'vmdk',
        }),
      );
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND');
    });
  });
});
