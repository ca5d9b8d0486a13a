/** Owners of files and trees: Chown, ChownForIdMaps, and what a race for their paths comes to. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { chmod, chown, lchown, link, lstat, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { allOver } from '../../support/at-work.js';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileRun } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, failure, type Message } from '../../support/stranger.js';

/** While a folder on their way is swapped for a link. */
const CALLS = 600;

describe('owners', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    mkdirSync(scratch.path('daemon/frozen'), { recursive: true });
    writeFileSync(scratch.path('daemon/frozen/file'), 'ice');
    const folder = (name: string) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`;
    return { roots: `${folder('images')}${folder('frozen')}access = "read-only"\n` };
  });
  const at = (name: string) => daemon.get().image(name);
  const run = async (rpc: string, request: Message) =>
    (await daemon.get().stranger.operation(`FileService/${rpc}`, request))['chown'] as Message;
  const reason = async (call: Promise<unknown>) => (await failure(call)).reason;
  const ownerOf = async (name: string) => {
    const { uid, gid } = await lstat(at(name));
    return [uid, gid];
  };
  before(function () {
    needs(this, isRoot, 'changing owners needs root');
  });

  describe('one owner', () => {
    it('parity row 1: by number and name, user, group or both, links themselves', async () => {
      await writeFile(at('owned'), 'x');
      await symlink('owned', at('owned-link'));
      for (const [owner, expected] of [
        ['123', [123, 0]],
        ['nobody:456', [65534, 456]],
        [':0', [65534, 0]],
        ['root:nogroup', [0, 65534]],
      ] as const) {
        await run('Chown', { path: at('owned'), owner });
        assert.deepEqual(await ownerOf('owned'), expected);
      }
      const result = await run('Chown', { path: at('owned-link'), owner: '7:8' });
      assert.deepEqual(
        [await ownerOf('owned-link'), await ownerOf('owned')],
        [
          [7, 8],
          [0, 65534],
        ],
      );
      assert.deepEqual([result['changed_items'], result['seen_items']], ['1', '1']);
      assert.equal((await run('Chown', { path: at('owned-link'), owner: '7:8' }))['changed_items'] ?? '0', '0');
    });

    it('parity row 1: a tree, with links that lead out, names that are no UTF-8, and set-id bits', async () => {
      const outside = scratch.path('outside');
      await writeFile(outside, 'x');
      await sh('mkdir', '-p', at('tree/a/b'));
      await sh('touch', at('tree/a/one'), at('tree/a/b/two'));
      await sh('bash', '-c', `printf x > "$1"/$'\\xff\\xfe'`, 'x', at('tree/a'));
      await symlink(outside, at('tree/a/out'));
      await symlink('/etc', at('tree/etc'));
      const result = await run('Chown', { path: at('tree'), owner: '11:12', recursive: true });
      assert.deepEqual([result['changed_items'], result['seen_items']], ['8', '8']);
      const owners = await sh('find', at('tree'), '-printf', '%U:%G\\n');
      assert.deepEqual(new Set(owners.trim().split('\n')), new Set(['11:12']));
      assert.equal((await stat(outside)).uid, 0);
      assert.equal((await stat('/etc')).uid, 0);
      const plan = await daemon.get().stranger.operation('FileService/Chown', {
        path: at('tree'),
        owner: '13',
        recursive: true,
        plan_only: true,
      });
      assert.match(JSON.stringify(plan), /8 of 8 entries/);
      assert.deepEqual(await ownerOf('tree/a/one'), [11, 12]);
    });

    it('refuses owners and places that cannot be', async () => {
      await writeFile(at('owned'), 'x');
      for (const owner of ['', ':', 'root:', 'a:b:c', 'no-such-user', 'ro ot', 'root\n', '-1', '4294967295', ':x y'])
        assert.equal(await reason(run('Chown', { path: at('owned'), owner })), 'INVALID_FIELD', owner);
      for (const [path, expected] of [
        [at('missing'), 'FILE_NOT_FOUND'],
        [at('missing/below'), 'FILE_NOT_FOUND'],
        ['/etc/passwd', 'PATH_OUTSIDE_ROOTS'],
        ['relative', 'INVALID_FIELD'],
        [`/${'a/'.repeat(10_000)}a`, 'INVALID_FIELD'],
        [scratch.path('daemon/frozen/file'), 'ROOT_READ_ONLY'],
        [scratch.path('daemon/state'), 'PATH_OUTSIDE_ROOTS'],
      ] as const)
        assert.equal(await reason(run('Chown', { path, owner: '1' })), expected, path);
    });

    it('leaves out what the daemon keeps for itself', async () => {
      const folder = scratch.path('nested');
      const nested = await Daemon.start(folder, {
        stateFolder: `${folder}/images/state`,
        roots: `[[roots]]\npath = "${folder}/images"\n`,
      });
      try {
        await mkdir(nested.image('sub'));
        await mkdir(nested.image('sub/.hostler-0123456789ab-01'), { mode: 0o700 });
        await nested.stranger.operation('FileService/Chown', {
          path: nested.image('sub'),
          owner: '5',
          recursive: true,
        });
        assert.equal((await stat(nested.image('sub'))).uid, 5);
        assert.equal((await stat(nested.image('sub/.hostler-0123456789ab-01'))).uid, 0);
        await nested.stranger.operation('FileService/Chown', {
          path: `${folder}/images`,
          owner: '6',
          recursive: true,
        });
        assert.equal((await stat(`${folder}/images`)).uid, 6);
        assert.equal((await stat(`${folder}/images/state`)).uid, 0);
      } finally {
        await nested.stop();
      }
    });
  });

  describe('id maps', () => {
    const maps = [
      { start: 0, target: 10_000, count: 10 },
      { start: 10, target: 20_000, count: 1000 },
    ];
    const CASES = [
      [0, 10_000],
      [9, 10_009],
      [10, 20_000],
      [100, 20_090],
      [1009, 20_999],
      [1010, 65_534],
    ] as const;
    it('parity row 2: each id through the first map that knows it; links, hard links and set-id bits', async () => {
      await mkdir(at('ids'));
      for (const [id] of CASES) {
        await writeFile(at(`ids/${String(id)}`), '');
        await chown(at(`ids/${String(id)}`), id, id);
      }
      await symlink('/etc/passwd', at('ids/link'));
      await lchown(at('ids/link'), 9, 9);
      await link(at('ids/100'), at('ids/100-again'));
      await chmod(at('ids/10'), 0o4755);
      const result = await run('ChownForIdMaps', { path: at('ids'), uid_maps: maps, gid_maps: maps });
      for (const [id, expected] of CASES) assert.deepEqual(await ownerOf(`ids/${String(id)}`), [expected, expected]);
      assert.deepEqual(await ownerOf('ids/link'), [10_009, 10_009]);
      assert.deepEqual(await ownerOf('ids'), [10_000, 10_000]);
      assert.equal((await stat('/etc/passwd')).uid, 0);
      assert.equal((await stat(at('ids/10'))).mode & 0o7777, 0o4755);
      assert.equal(result['seen_items'], '9');
      // Again: nothing.
      const again = await run('ChownForIdMaps', { path: at('ids'), uid_maps: maps, gid_maps: maps });
      assert.equal(again['changed_items'] ?? '0', '0');
      // Something new among what is shifted.
      await writeFile(at('ids/new'), '');
      await run('ChownForIdMaps', { path: at('ids'), uid_maps: maps, gid_maps: maps });
      assert.deepEqual(
        [await ownerOf('ids/new'), await ownerOf('ids/100')],
        [
          [10_000, 10_000],
          [20_090, 20_090],
        ],
      );
    });

    it('parity row 2: an empty list leaves its ids alone; a map has defaults', async () => {
      await writeFile(at('gid-only'), '');
      await chown(at('gid-only'), 3, 3);
      await run('ChownForIdMaps', { path: at('gid-only'), gid_maps: [{ target: 500 }] });
      assert.deepEqual(await ownerOf('gid-only'), [3, 503]);
      await chown(at('gid-only'), 20_000, 3);
      await run('ChownForIdMaps', { path: at('gid-only'), uid_maps: [{}] });
      assert.deepEqual(await ownerOf('gid-only'), [65_534, 3]);
      assert.equal((await run('ChownForIdMaps', { path: at('gid-only') }))['changed_items'] ?? '0', '0');
    });

    it('refuses maps that reach beyond the last id', async () => {
      for (const map of [{ start: 4_294_967_295 }, { target: 4_294_967_000, count: 1000 }, { count: 0 }]) {
        const error = await failure(run('ChownForIdMaps', { path: at('gid-only'), uid_maps: [map] }));
        assert.equal(error.reason, 'INVALID_FIELD');
        assert.match(error.fields.join(), /uid_maps\.0/);
      }
    });

    it('parity row 2: tells how far it is, can be cancelled, and the same call finishes it', async function () {
      this.timeout(60_000);
      await sh('bash', '-c', 'mkdir -p "$1" && cd "$1" && seq 30000 | xargs touch', 'x', at('many'));
      const request = { path: at('many'), uid_maps: maps, gid_maps: maps };
      const stream = daemon.get().stranger.stream('FileService/ChownForIdMaps', request);
      const seen: Message[] = [];
      stream.on('data', (event: Message) => {
        seen.push(event);
        const done = Number((event['progress'] as Message | undefined)?.['done_items'] ?? 0);
        if (done > 0) stream.cancel();
      });
      await new Promise((resolve) => stream.once('error', resolve));
      await allOver(daemon.get().stranger);
      const shifted = async () => (await sh('find', at('many'), '-uid', '10000', '-printf', 'x')).length;
      assert.ok((await shifted()) < 30_001 || seen.some(({ state }) => state === 'OPERATION_STATE_SUCCEEDED'));
      const result = await run('ChownForIdMaps', request);
      assert.equal(await shifted(), 30_001);
      assert.equal(result['seen_items'], '30001');
      const progress = seen.find(({ progress }) => progress !== undefined)?.['progress'] as Message | undefined;
      if (progress !== undefined) assert.equal(progress['total_items'], '30001');
      await rm(at('many'), { recursive: true });
    });
  });

  it('folders that are swapped for links meanwhile lead nowhere', async function () {
    this.timeout(120_000);
    const outside = scratch.path('race-outside');
    await mkdir(outside);
    await writeFile(`${outside}/victim`, 'victim');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', `${outside}/victim.qcow2`, '1M');
    const before = await stat(`${outside}/victim`);
    await mkdir(at('race'));
    await sh(
      'bash',
      '-c',
      'cd "$1" && mkdir real && echo x > real/victim && cp "$2" real/',
      'x',
      at('race'),
      `${outside}/victim.qcow2`,
    );
    // Ends between two steps.
    const script = `trap exit TERM; exec 2>/dev/null; cd "$1" && ln -sfn "$2" link && while :; do mv -T real saved && ln -s "$2" real && rm real && mv -T saved real; done`;
    const swapper = ['bash', '-c', script, 'x', at('race'), outside];
    const path = at('race/real/victim');
    const allowed = [
      '',
      'PATH_OUTSIDE_ROOTS',
      'FILE_NOT_FOUND',
      'IMAGE_NOT_FOUND',
      'PARENT_NOT_FOUND',
      'PATH_BUSY',
      'SAME_FILE',
      'ACCESS_DENIED',
      'SOURCE_CHANGED',
    ];
    const write = (target: string) =>
      daemon
        .get()
        .stranger.send('FileService/WriteFile', [{ header: { path: target } }, { data: Buffer.from('written') }]);
    const outcomes = new Map<string, number>();
    const calls = [
      () => run('Chown', { path, owner: '77' }),
      () => run('Chown', { path: at('race/real'), owner: '77', recursive: false }),
      () => write(path),
      () => daemon.get().stranger.unary('FileService/DeleteFile', { path, missing_ok: true }),
      () => write(at('race/real/made')),
    ];
    const convert = () =>
      daemon.get().stranger.operation('ImageService/ConvertImage', {
        source: at('race/real/victim.qcow2'),
        source_format: 'qcow2',
        target: at('race/real/converted'),
        target_format: 'raw',
        overwrite: true,
      });
    const pick = (turn: number) =>
      (turn % 20 === 19 ? convert : calls[turn % calls.length]) ?? (() => Promise.reject(new Error('no such call')));
    let done = 0;
    const worker = async () => {
      for (; done < CALLS; done++) {
        const outcome = await pick(done)().then(
          () => '',
          (error: unknown) => describeError(error),
        );
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    };
    await whileRun(
      swapper,
      () => existsSync(at('race/link')),
      async () => {
        await Promise.all([worker(), worker(), worker(), worker()]);
      },
    );
    for (const outcome of outcomes.keys()) assert.ok(allowed.includes(outcome), JSON.stringify([...outcomes]));
    const after = await stat(`${outside}/victim`);
    assert.deepEqual([after.uid, after.mtimeMs, after.size], [before.uid, before.mtimeMs, before.size]);
    assert.deepEqual((await readdir(outside)).sort(), ['victim', 'victim.qcow2']);
    assert.equal((await stat(outside)).uid, 0);
    assert.ok((outcomes.get('') ?? 0) > 20, JSON.stringify([...outcomes]));
    await rm(at('race'), { recursive: true });
  });
});

function describeError(error: unknown): string {
  if (!(error instanceof CallError)) return String(error);
  return /^(?:TOOL|SANDBOX)/.test(error.reason) ? `${error.reason} ${JSON.stringify(error.metadata)}` : error.reason;
}
