/** What the command says and how it exits when it is used wrongly, or its answer is its exit code. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun, type Ended } from '../../support/shell.js';

/** Commands that need neither arguments nor a daemon's answer to be tried. */
const BARE = ['host info', 'host arch', 'host initiator', 'cache ls', 'cache evict', 'ops ls', 'ops watch'];

describe('the command line', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const hostler = (...words: string[]) => tryRun(HOSTLER, ['--address', daemon.get().address, ...words]);
  const wrong = ({ code, stdout, stderr }: Ended, expected: number, says: RegExp) => {
    assert.match(stderr, says);
    assert.doesNotMatch(stderr, /\n {4}at |node:|Error:/);
    assert.deepEqual({ code, stdout }, { code: expected, stdout: '' }, stderr);
  };

  before(async () => {
    await hostler('image', 'create', image('a.qcow2'), '64M', '-f', 'qcow2');
    await hostler('image', 'create', image('same.raw'), '64M', '-f', 'raw');
    await writeFile(image('other.raw'), Buffer.alloc(64 * 1024 * 1024, 'x'));
    await sh('mkfifo', scratch.path('pipe'));
    await mkdir(scratch.path('folder'));
  });

  describe('a file of this host that cannot be used is named in one line', () => {
    const cases: [words: () => string[], code: number, says: RegExp][] = [
      [() => ['image', 'upload', scratch.path('none'), image('x'), '-f', 'raw'], 1, /no such file.*none/],
      [() => ['image', 'upload', scratch.path('folder'), image('x'), '-f', 'raw'], 1, /folder is no regular file/],
      [() => ['image', 'upload', scratch.path('pipe'), image('x'), '-f', 'raw'], 1, /pipe is no regular file/],
      [() => ['image', 'download', image('a.qcow2'), scratch.path('none/x')], 1, /no such file/],
      [() => ['image', 'download', image('a.qcow2'), '/proc/x'], 1, /no such file/],
      [() => ['image', 'download', image('a.qcow2'), scratch.path('folder')], 2, /folder is a folder/],
      [() => ['disk', 'find-root', '--xml', scratch.path('folder')], 1, /folder is a folder/],
      [() => ['file', 'write', image('t'), '--from', scratch.path('folder')], 1, /folder is a folder/],
      [() => ['image', 'map', image('a.qcow2'), '-f', 'qcow2', '--passphrase-file', '/none'], 2, /no such file.*none/],
      [() => ['image', 'fetch', '/a', image('x'), '--header-file', '/none'], 2, /no such file.*none/],
      [() => ['image', 'fetch', '/a', image('x'), '--checksum-file', '/none'], 2, /no such file.*none/],
      [() => ['cert', 'init', '/proc/none'], 1, /no such file/],
    ];
    for (const [words, code, says] of cases)
      it(words.toString().replace(/^.*=> /, ''), async () => {
        wrong(await hostler(...words()), code, says);
      });
  });

  it('a number that is none is refused before anything is asked', async () => {
    wrong(await hostler('host', 'disk-driver', 'kvm', '--hypervisor-version', 'new'), 2, /must be a whole number/);
    wrong(await hostler('exec', 'x', '--attempts', '-1'), 2, /must be a whole number/);
    wrong(
      await hostler('image', 'copy', '/a', '/b', '--from', 'c', '--port', '99999999999'),
      2,
      /must be a whole number/,
    );
  });

  it('a hint names options and arguments, not fields', async () => {
    const formats = ['-f', 'qcow2', '-O', 'none'];
    wrong(
      await hostler('image', 'convert', image('a.qcow2'), image('b'), ...formats),
      2,
      /^hostler: --target-format: /,
    );
    wrong(await hostler('image', 'create', image('b'), '1X', '-f', 'raw'), 2, /^hostler: <size>: must be/);
    wrong(await hostler('ops', 'show', 'x'), 2, /^hostler: <id>: must be a ULID/);
    wrong(await hostler('ops', 'cancel'), 2, /^hostler: <id>: exactly one of <id> and labels/);
  });

  it('an empty path is refused: it would be the folder in which the command runs', async () => {
    for (const words of [
      ['rmdir', '-R', ''],
      ['ls', ''],
      ['image', 'info', image('a.qcow2'), ''],
    ])
      wrong(await hostler(...words), 2, /^hostler: a path is empty\n/);
  });

  it('the advice names options, not fields', async () => {
    const shrink = await hostler('image', 'resize', image('a.qcow2'), '1M', '-f', 'qcow2');
    wrong(shrink, 4, /\[WOULD_SHRINK\]\n {2}Set --shrink if/);
  });

  it('a terminal does not obey what is in a name', async () => {
    const { stderr } = await hostler('image', 'info', image('none\u001B[31m'));
    assert.match(stderr, /none\\x1b\[31m/);
    assert.ok(!stderr.includes('\u001B'), JSON.stringify(stderr));
  });

  for (const words of BARE)
    it(`hostler ${words} without a daemon exits with 7`, async () => {
      wrong(await tryRun(HOSTLER, ['--address', 'unix:///none', ...words.split(' ')]), 7, /no such socket/);
    });

  it('a daemon that answers is never "no daemon answers"', async () => {
    for (const words of [
      ['image', 'info', '/none'],
      ['ops', 'show', '01ARZ3NDEKTSV4RRFFQ69G5FAV'],
      ['image', 'info'],
    ])
      assert.notEqual((await hostler(...words)).code, 7);
  });

  it('an empty variable is as good as none', async () => {
    const env = { ...process.env, HOSTLER_ADDRESS: '', HOSTLER_CONTEXT: '', HOSTLER_TLS_CA: '' };
    const { code, stderr } = await tryRun(HOSTLER, ['host', 'info'], { env });
    assert.doesNotMatch(stderr, /--address :/);
    assert.equal(code, 7);
  });

  describe('closed output', () => {
    it('a reader that has gone ends the command without a word', async () => {
      const child = spawn(
        HOSTLER,
        ['--address', daemon.get().address, 'image', 'map', image('a.qcow2'), '-f', 'qcow2'],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      child.stdout.destroy();
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await new Promise((resolve) => child.once('close', resolve));
      assert.equal(said, '');
    });

    it('a full disk does too, and the exit code says that something failed', async () => {
      const full = await open('/dev/full', 'w');
      const child = spawn(HOSTLER, ['--help'], { stdio: ['ignore', full.fd, 'pipe'] });
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const code = await new Promise((resolve) => child.once('close', resolve));
      await full.close();
      assert.deepEqual({ code, said }, { code: 1, said: '' });
    });
  });

  describe('exit codes that answer', () => {
    const code = async (...words: string[]) => (await hostler(...words)).code;
    const compare = (second: string) =>
      code('image', 'compare', image('a.qcow2'), image(second), '-f', 'qcow2', '-F', 'raw');

    it('compare: 0 the same, 1 different, 2 no answer', async () => {
      assert.deepEqual([await compare('same.raw'), await compare('other.raw'), await compare('none')], [0, 1, 2]);
      assert.equal(await code('image', 'compare'), 2);
    });

    it('check: 0 clean, 3 leaks, 2 corruptions, 1 no answer, as qemu-img', async () => {
      const check = (name: string, ...more: string[]) => code('image', 'check', image(name), '-f', 'qcow2', ...more);
      assert.deepEqual([await check('a.qcow2'), await check('none'), await check('a.qcow2', '--none')], [0, 1, 1]);
      for (const name of ['leak.qcow2', 'bad.qcow2'])
        await hostler('image', 'create', image(name), '64M', '-f', 'qcow2');
      await damage(image('leak.qcow2'), 1);
      await damage(image('bad.qcow2'), 0);
      for (const name of ['leak.qcow2', 'bad.qcow2'])
        assert.equal(await check(name), (await tryRun('qemu-img', ['check', '-f', 'qcow2', image(name)])).code, name);
      assert.deepEqual([await check('leak.qcow2'), await check('bad.qcow2')], [3, 2]);
      assert.equal(await check('leak.qcow2', '--repair', 'leaks'), 0);
    });

    it('file stat and host mounted: 0 yes, 1 no, 2 no answer', async () => {
      const stat = (path: string) => code('file', 'stat', path);
      assert.deepEqual([await stat(image('a.qcow2')), await stat(image('none')), await stat('/none')], [0, 1, 2]);
      const mounted = (...paths: string[]) => code('host', 'mounted', ...paths);
      assert.deepEqual([await mounted('/proc'), await mounted('/proc/self'), await mounted()], [0, 1, 2]);
    });

    it('where no daemon answers they exit with 7 too', async () => {
      for (const words of [
        ['file', 'stat', '/a'],
        ['host', 'mounted', '/a'],
        ['image', 'check', '/a', '-f', 'raw'],
      ])
        assert.equal((await tryRun(HOSTLER, ['--address', 'unix:///none', ...words])).code, 7);
    });
  });

  it('nothing of a download that failed stays', async () => {
    assert.deepEqual(await readdir(scratch.path('folder')), []);
    wrong(await hostler('image', 'download', image('none'), scratch.path('folder/x')), 3, /No such file/);
    assert.deepEqual(await readdir(scratch.path('folder')), []);
  });
});

/**
 * Changes reference counts of a qcow2 image of 64 KiB clusters: the block with them is its third
 * cluster, 16 bits each. Of a cluster beyond the image's own it is a leak, of a used one a
 * corruption.
 */
async function damage(path: string, count: number): Promise<void> {
  const file = await open(path, 'r+');
  const [block, cluster] = [2 * 65536, count === 0 ? 3 : 5];
  const value = Buffer.alloc(2);
  value.writeUInt16BE(count);
  await file.write(value, 0, 2, block + 2 * cluster);
  // A leak is a cluster of the file.
  if (count > 0) await file.truncate(6 * 65536);
  await file.close();
}
