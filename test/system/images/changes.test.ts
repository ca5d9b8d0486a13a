/** The verbs that change images where they are, beside qemu-img on the same input. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { assertSound, guestContent, guestWrites, makeChain } from '../../support/images/chains.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('changes in place', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    mkdirSync(scratch.path('daemon/frozen'), { recursive: true });
    const root = (name: string) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`;
    return { roots: `${root('images')}${root('frozen')}access = "read-only"\n` };
  });
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const image = async (rpc: string, request: Message) => (await run(rpc, request))['image'] as Message;
  const reason = async (rpc: string, request: Message) => (await failure(run(rpc, request))).reason;
  const info = async (path: string, format = 'qcow2') =>
    (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path, format }))['info'] as Message;
  /** A chain of so many layers in a folder of its own; the last one is the top. */
  const chain = async (name: string, depth: number): Promise<string[]> => {
    await mkdir(at(name));
    const paths = Array.from({ length: depth }, (_, layer) => at(`${name}/${String(layer)}.qcow2`));
    await makeChain(paths);
    return paths;
  };
  const last = (paths: readonly string[]) => paths.at(-1) ?? assert.fail('no layer');

  describe('ResizeImage', () => {
    for (const format of ['raw', 'qcow2', 'qed']) {
      it(`grows ${format} as qemu-img does, reports what is so already, refuses to shrink`, async () => {
        const path = at(`grow.${format}`);
        await sh('qemu-img', 'create', '-q', '-f', format, path, '8M');
        const grown = await image('ResizeImage', { path, format, size: '16M' });
        assert.equal(grown['changed'], true);
        assert.equal((grown['info'] as Message)['virtual_size_bytes'], String(16 * MIB));
        const theirs = JSON.parse(await sh('qemu-img', 'info', '-f', format, '--output=json', path)) as Message;
        assert.equal(theirs['virtual-size'], 16 * MIB);
        assert.notEqual(
          (await image('ResizeImage', { path, format, virtual_size_bytes: String(16 * MIB) }))['changed'],
          true,
        );
        const error = await failure(run('ResizeImage', { path, format, size: '4M' }));
        assert.equal(error.reason, 'WOULD_SHRINK');
        assert.match(error.message, /16777216 bytes to 4194304/);
        if (format === 'qed') return;
        await image('ResizeImage', { path, format, size: '4M', allow_shrink: true });
        assert.equal((await info(path, format))['virtual_size_bytes'], String(4 * MIB));
      });
    }

    it('keeps the content, preallocates, rounds up and says so', async () => {
      const path = at('full.raw');
      await writeFile(path, noise(MIB));
      const before = await readFile(path);
      await image('ResizeImage', { path, format: 'raw', size: '9M', preallocation: 'PREALLOCATION_FALLOC' });
      assert.ok((await stat(path)).blocks * 512 >= 9 * MIB);
      assert.ok((await readFile(path)).subarray(0, MIB).equals(before));
      const request = { path, format: 'raw', virtual_size_bytes: String(9 * MIB + 1) };
      const events = await daemon.get().stranger.all('ImageService/ResizeImage', request);
      const { operation_id } = events[0] as Message;
      const { operation } = await daemon.get().stranger.unary('OperationService/GetOperation', { operation_id });
      assert.match(JSON.stringify((operation as Message)['warnings']), /SIZE_ROUNDED_UP/);
      assert.equal((await stat(path)).size, 9 * MIB + 512);
    });

    it('refuses what cannot be', async () => {
      const path = at('refused.qcow2');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '4M');
      assert.equal(await reason('ResizeImage', { path, format: 'raw' }), 'INVALID_FIELD');
      assert.equal(await reason('ResizeImage', { path, size: '1G' }), 'INVALID_FIELD');
      assert.equal(await reason('ResizeImage', { path: at('none'), format: 'raw', size: '1G' }), 'IMAGE_NOT_FOUND');
      assert.equal(await reason('ResizeImage', { path, format: 'qed', size: '1G' }), 'FORMAT_MISMATCH');
      await sh('qemu-img', 'create', '-q', '-f', 'vmdk', at('fixed.vmdk'), '8M');
      const vmdk = { path: at('fixed.vmdk'), format: 'vmdk', size: '1G' };
      assert.equal(await reason('ResizeImage', vmdk), 'UNSUPPORTED_BY_BACKEND');
      assert.deepEqual((await info(at('fixed.vmdk'), 'vmdk'))['findings'] ?? [], [], 'nothing was written');
      await copyFile(path, scratch.path('daemon/frozen/x.qcow2'));
      const frozen = { path: scratch.path('daemon/frozen/x.qcow2'), format: 'qcow2', size: '1G' };
      assert.equal(await reason('ResizeImage', frozen), 'ROOT_READ_ONLY');
      const safe = { path, format: 'qcow2', size: '1G', safe_copy: true };
      const outcome = await run('ResizeImage', safe).then(
        () => 'done',
        (error: unknown) => (error as { reason: string }).reason,
      );
      // As the filesystem of the test can share extents or not; reflink.test.ts has one that can.
      assert.ok(['done', 'UNSUPPORTED_BY_BACKEND'].includes(outcome), outcome);
    });

    it('a plan changes nothing', async () => {
      const path = at('planned.raw');
      await sh('truncate', '-s', '4M', path);
      const { size } = await stat(path);
      const request = { path, format: 'raw', size: '1G', preallocation: 'PREALLOCATION_FULL', plan_only: true };
      const plan = (await run('ResizeImage', request))['plan'] as Message;
      assert.equal(plan['need_bytes'], String(1024 * MIB - size));
      assert.equal((await stat(path)).size, size);
    });
  });

  describe('RebaseImage', () => {
    it('onto another base: the guest sees the same, qemu-img names the new one', async () => {
      const paths = await chain('rebase', 3);
      const [path, base] = [last(paths), at('rebase/new.qcow2')];
      await makeChain([base]);
      await guestWrites(base, [{ pattern: 77, at: 30, length: 3 }]);
      const before = await guestContent(path);
      const result = await image('RebaseImage', { path, format: 'qcow2', backing_file: base, backing_format: 'qcow2' });
      assert.equal((result['info'] as Message)['backing_file'], base);
      assert.ok((await guestContent(path)).equals(before));
      await assertSound(path);
      const again = { path, format: 'qcow2', backing_file: base, backing_format: 'qcow2' };
      assert.notEqual((await image('RebaseImage', again))['changed'], true);
    });

    it('onto a layer of its own chain, onto a chain of other layers, onto a raw base, and flat', async () => {
      const paths = await chain('ladder', 4);
      const path = last(paths);
      const before = await guestContent(path);
      const others = await chain('others', 3);
      await sh('qemu-img', 'create', '-q', '-f', 'raw', at('ladder/raw base, 1.raw'), '64M');
      for (const [backing_file, backing_format] of [
        [paths[0], 'qcow2'],
        [last(others), 'qcow2'],
        [at('ladder/raw base, 1.raw'), 'raw'],
        ['', ''],
      ] as const) {
        await image('RebaseImage', { path, format: 'qcow2', backing_file, backing_format });
        assert.ok((await guestContent(path)).equals(before), backing_file);
        await assertSound(path);
      }
      assert.equal((await info(path))['backing_file'], undefined);
      assert.notEqual((await image('RebaseImage', { path, format: 'qcow2' }))['changed'], true);
    });

    it('is refused where snapshots inside read from what changes: rebase, flatten, commit; not unsafe', async () => {
      const [bottom = '', middle = '', path = ''] = await chain('inside', 3);
      for (const each of [middle, path]) await sh('qemu-img', 'snapshot', '-c', 'one', each);
      const onto = { path, format: 'qcow2', backing_file: bottom, backing_format: 'qcow2' };
      for (const [rpc, request] of [
        ['RebaseImage', onto],
        ['RebaseImage', { ...onto, plan_only: true }],
        ['RebaseImage', { path, format: 'qcow2' }],
        ['CommitImage', { path, format: 'qcow2' }],
        ['CommitImage', { path, format: 'qcow2', base: bottom, allow_dependants: true }],
      ] as const)
        assert.equal(await reason(rpc, request), 'IMAGE_HAS_SNAPSHOTS', rpc);
      // What an image has inside of the base of a commit is kept by the base itself.
      await sh('qemu-img', 'snapshot', '-d', 'one', path);
      await run('CommitImage', { path, format: 'qcow2' });
      await sh('qemu-img', 'snapshot', '-c', 'one', path);
      await run('RebaseImage', { ...onto, header_only: true });
      const { operations } = await daemon.get().stranger.unary('OperationService/ListOperations', {
        methods: ['RebaseImage'],
      });
      assert.match(JSON.stringify(operations), /SNAPSHOTS_ON_NEW_BASE.*has 1 snapshots inside/);
    });

    it('only onto a base of a format that the header can name', async () => {
      for (const format of ['raw', 'qcow2', 'vmdk', 'qed'])
        await sh('qemu-img', 'create', '-q', '-f', format, at(`of-base.${format}`), '1M');
      for (const format of ['qed', 'vmdk'])
        for (const backing_format of ['raw', 'qcow2', 'vmdk', 'qed'])
          for (const unsafe of [false, true]) {
            const path = at(`of.${format}`);
            await sh('qemu-img', 'create', '-q', '-f', format, path, '1M');
            const backing_file = at(`of-base.${backing_format}`);
            const rebased = run('RebaseImage', { path, format, backing_file, backing_format, unsafe });
            if (format === 'qed' && backing_format === 'raw') {
              await rebased;
              assert.equal((await info(path, format))['backing_file'], backing_file);
            } else
              assert.equal((await failure(rebased)).reason, 'UNSUPPORTED_BY_BACKEND', `${format} ${backing_format}`);
          }
    });
    it('unsafe: only the name, also when both bases are missing', async () => {
      const [base = '', path = ''] = await chain('unsafe', 2);
      await rm(base);
      const elsewhere = at('unsafe/not there yet.qcow2');
      const request = { path, format: 'qcow2', backing_file: elsewhere, backing_format: 'qcow2' };
      assert.equal(await reason('RebaseImage', request), 'IMAGE_NOT_FOUND');
      await image('RebaseImage', { ...request, header_only: true });
      const { backing_file, backing_format } = await info(path);
      assert.deepEqual([backing_file, backing_format], [elsewhere, 'qcow2']);
    });

    it('refuses a larger base, itself, a loop, a base without a format, a chain with a missing layer', async () => {
      const [bottom = '', middle = '', top = ''] = await chain('refused', 3);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('refused/large.qcow2'), '1G');
      const rebase = (path: string, backing_file: string, backing_format = 'qcow2') =>
        reason('RebaseImage', { path, format: 'qcow2', backing_file, backing_format });
      assert.equal(await rebase(top, at('refused/large.qcow2')), 'BASE_LARGER');
      assert.equal(await rebase(top, top), 'INVALID_FIELD');
      assert.equal(await rebase(middle, top), 'IMAGE_UNSAFE');
      assert.equal(await rebase(top, bottom, ''), 'INVALID_FIELD');
      assert.equal(await rebase(top, at('refused/none.qcow2')), 'IMAGE_NOT_FOUND');
      await rm(bottom);
      assert.equal(await rebase(top, ''), 'INVALID_FIELD');
      for (const rpc of ['RebaseImage', 'CommitImage', 'CheckImage'])
        assert.equal(await reason(rpc, { path: top, format: 'qcow2' }), 'IMAGE_NOT_FOUND', rpc);
    });
  });

  describe('CommitImage', () => {
    it('into the nearest layer, and into one further below', async () => {
      const paths = await chain('commit', 4);
      const [bottom = '', , below = '', path = ''] = paths;
      const before = await guestContent(path);
      const result = await image('CommitImage', { path, format: 'qcow2' });
      assert.equal((result['info'] as Message)['path'], below);
      assert.ok((await guestContent(below)).equals(before));
      assert.ok((await guestContent(path)).equals(before));
      const deep = { path, format: 'qcow2', base: bottom };
      assert.equal(await reason('CommitImage', deep), 'IMAGE_HAS_DEPENDANTS');
      await image('CommitImage', { ...deep, allow_dependants: true });
      assert.ok((await guestContent(bottom)).equals(before));
      for (const each of paths) await assertSound(each);
    });

    it('grows a base that is smaller; into raw', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'raw', at('small.raw'), '4M');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', at('small.raw'), at('big.qcow2'), '16M');
      await guestWrites(at('big.qcow2'), [{ pattern: 9, at: 10, length: 2 }]);
      await image('CommitImage', { path: at('big.qcow2'), format: 'qcow2' });
      assert.equal((await stat(at('small.raw'))).size, 16 * MIB);
      assert.equal((await readFile(at('small.raw')))[10 * MIB], 9);
    });

    it('refuses an image without a base, a base that is no layer, and one in a read-only root', async () => {
      const [bottom = '', top = ''] = await chain('no-commit', 2);
      assert.equal(await reason('CommitImage', { path: bottom, format: 'qcow2' }), 'LAYER_NOT_FOUND');
      for (const base of [top, at('refused/large.qcow2'), at('nothing')])
        assert.equal(await reason('CommitImage', { path: top, format: 'qcow2', base }), 'LAYER_NOT_FOUND', base);
      const relative = { path: top, format: 'qcow2', base: 'bottom.qcow2' };
      assert.equal(await reason('CommitImage', relative), 'INVALID_FIELD');
      const frozen = scratch.path('daemon/frozen/base.qcow2');
      await copyFile(bottom, frozen);
      await sh('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', frozen, top);
      assert.equal(await reason('CommitImage', { path: top, format: 'qcow2' }), 'ROOT_READ_ONLY');
    });
  });

  describe('CheckImage and CompareImages', () => {
    it('a sound image, leaks, corruption: results with counts; repairs', async () => {
      const [path = ''] = await chain('check', 1);
      const check = async (repair = 'REPAIR_MODE_NONE') =>
        (await run('CheckImage', { path, format: 'qcow2', repair }))['check'] as Message;
      const sound = await check();
      assert.deepEqual([sound['clean'], sound['corruptions'] ?? '0', sound['leaks'] ?? '0'], [true, '0', '0']);
      // A refcount too many leaks, one too few corrupts.
      const table = Number((await readFile(path)).readBigUInt64BE(48));
      const block = Number((await readFile(path)).readBigUInt64BE(table));
      const cluster = Math.ceil((await stat(path)).size / 65_536);
      await truncate(path, (cluster + 1) * 65_536);
      await sh('qemu-io', '-f', 'raw', '-c', `write -P 1 ${String(block + 2 * cluster + 1)} 1`, path);
      const leaking = await check();
      assert.deepEqual([leaking['clean'], leaking['leaks']], [true, '1']);
      assert.equal((await check('REPAIR_MODE_LEAKS'))['leaks_fixed'], '1');
      await sh('qemu-io', '-f', 'raw', '-c', `write -P 0 ${String(block + 2 * 5)} 2`, path);
      const corrupt = await check();
      assert.notEqual(corrupt['clean'], true);
      assert.ok(Number(corrupt['corruptions']) > 0);
      const repaired = await check('REPAIR_MODE_ALL');
      assert.equal(repaired['clean'], true);
      assert.ok(Number(repaired['corruptions_fixed']) > 0);
      await assertSound(path);
    });

    it('a format that has no check', async () => {
      await truncate(at('plain.raw'), MIB).catch(() => writeFile(at('plain.raw'), Buffer.alloc(MIB)));
      assert.equal(await reason('CheckImage', { path: at('plain.raw'), format: 'raw' }), 'UNSUPPORTED_BY_BACKEND');
    });

    it('compares by content: equal, different with the first offset, sizes, sparse and fast', async () => {
      const [base = '', path = ''] = await chain('compare', 2);
      await sh('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, at('compare/flat.raw'));
      const compare = async (first: string, second: string, second_format: string, more: Message = {}) =>
        (await run('CompareImages', { first, first_format: 'qcow2', second, second_format, ...more }))[
          'compare'
        ] as Message;
      assert.equal((await compare(path, at('compare/flat.raw'), 'raw'))['equal'], true);
      const different = await compare(path, base, 'qcow2');
      assert.deepEqual([different['equal'] ?? false, different['first_difference_bytes']], [false, String(7 * MIB)]);
      await truncate(at('compare/flat.raw'), 80 * MIB);
      assert.equal((await compare(path, at('compare/flat.raw'), 'raw'))['equal'], true);
      assert.notEqual((await compare(path, at('compare/flat.raw'), 'raw', { strict: true }))['equal'], true);
      for (const name of ['vast1', 'vast2']) await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at(name), '8T');
      assert.equal((await compare(at('vast1'), at('vast2'), 'qcow2'))['equal'], true);
    });
  });

  describe('WipeImage', () => {
    it('writes zeros over data and keeps holes; gives blocks back', async () => {
      const path = at('wiped.raw');
      await writeFile(path, noise(3 * MIB + 100));
      await truncate(path, 64 * MIB + 100);
      const { blocks } = await stat(path);
      await image('WipeImage', { path, mode: 'WIPE_MODE_ZERO' });
      assert.ok((await readFile(path)).equals(Buffer.alloc(64 * MIB + 100)));
      assert.ok((await stat(path)).blocks <= blocks + 8);
      await writeFile(path, noise(MIB));
      await image('WipeImage', { path, mode: 'WIPE_MODE_DISCARD' });
      const after = await stat(path);
      assert.deepEqual([after.size, after.blocks], [MIB, 0]);
      await truncate(path, 0);
      for (const mode of ['WIPE_MODE_ZERO', 'WIPE_MODE_DISCARD']) await image('WipeImage', { path, mode });
      assert.equal(await reason('WipeImage', { path }), 'INVALID_FIELD');
    });

    it('refuses what others are backed by', async () => {
      const [base = ''] = await chain('wipe', 2);
      assert.equal(await reason('WipeImage', { path: base, mode: 'WIPE_MODE_ZERO' }), 'IMAGE_HAS_DEPENDANTS');
    });
  });

  describe('snapshots', () => {
    it('make, list, revert, remove; names that look like ids, options or nothing at all', async () => {
      const [path = ''] = await chain('snapshots', 1);
      const first = await guestContent(path);
      const names = ['2', '-x, y=1', "it's ünïcode", 'a'.repeat(255)];
      const request = (snapshot: string) => ({ path, format: 'qcow2', snapshot });
      for (const [index, name] of names.entries()) {
        const made = (await run('CreateSnapshot', request(name)))['snapshot'] as Message;
        assert.equal((made['snapshot'] as Message)['name'], name);
        await guestWrites(path, [{ pattern: 200 + index, at: index, length: 1 }]);
      }
      const { snapshots } = (await daemon
        .get()
        .stranger.unary('ImageService/ListSnapshots', { path, format: 'qcow2' })) as { snapshots: Message[] };
      assert.deepEqual(
        snapshots.map(({ name }) => name),
        names,
      );
      assert.equal(await reason('CreateSnapshot', request('2')), 'SNAPSHOT_EXISTS');
      // The name `2` is the id of the second one too: what is meant is the name.
      await run('RevertSnapshot', request('2'));
      assert.ok((await guestContent(path)).equals(first));
      for (const name of names) await run('DeleteSnapshot', request(name));
      assert.deepEqual((await info(path))['snapshots'] ?? [], []);
      assert.ok((await guestContent(path)).equals(first));
      await assertSound(path);
      for (const name of ['', 'a\0b', 'b'.repeat(256)])
        assert.equal(await reason('CreateSnapshot', request(name)), 'INVALID_FIELD');
      for (const rpc of ['DeleteSnapshot', 'RevertSnapshot'])
        assert.equal(await reason(rpc, request('missing')), 'SNAPSHOT_NOT_FOUND');
      await writeFile(at('flat.raw'), noise(MIB));
      const raw = { path: at('flat.raw'), format: 'raw', snapshot: 'x' };
      assert.equal(await reason('CreateSnapshot', raw), 'UNSUPPORTED_BY_BACKEND');
    });

    it('a revert is refused where others are backed by it', async () => {
      const [base = ''] = await chain('revert', 2);
      const request = { path: base, format: 'qcow2', snapshot: 's' };
      await run('CreateSnapshot', request);
      assert.equal(await reason('RevertSnapshot', request), 'IMAGE_HAS_DEPENDANTS');
      await run('RevertSnapshot', { ...request, allow_dependants: true });
    });
  });

  it('hostler image resize, rebase, commit, check, compare, wipe, snapshot', async () => {
    const [base = '', path = ''] = await chain('client', 2);
    const exits = async (code: number, ...args: string[]) => {
      const ended = await tryRun(HOSTLER, ['image', ...args], { env: { HOSTLER_ADDRESS: daemon.get().address } });
      assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`);
      return ended.stdout;
    };
    const hostler = (...args: string[]) => exits(0, ...args);
    await hostler('resize', path, '100M', '-f', 'qcow2');
    await hostler('snapshot', 'create', path, 'one', '-f', 'qcow2');
    assert.match(await hostler('snapshot', 'ls', path, '-f', 'qcow2'), /1 +one/);
    await hostler('snapshot', 'rm', path, 'one', '-f', 'qcow2');
    assert.match(await hostler('check', path, '-f', 'qcow2'), /^clean: 0 corruptions/);
    assert.match(await exits(1, 'compare', path, base, '-f', 'qcow2', '-F', 'qcow2'), /^different/);
    await hostler('commit', path, '-f', 'qcow2');
    assert.match(await hostler('compare', path, base, '-f', 'qcow2', '-F', 'qcow2'), /^equal/);
    await hostler('rebase', path, '-f', 'qcow2');
    await hostler('wipe', path, '--mode', 'discard');
  });
});
