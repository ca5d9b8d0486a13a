/**
 * No more descriptors, processes or threads: an error of the call that wanted one, and of no other.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, type Message } from '../../support/stranger.js';

/** An owner whose processes nobody else's are counted with. */
const ALONE = 54_321;

describe('a host that has no more', () => {
  const scratch = scratchFolder();
  before(function () {
    needs(this, installed('prlimit'), 'prlimit is not installed');
  });

  const errorOf = (call: Promise<unknown>): Promise<CallError | undefined> =>
    call.then(
      () => undefined,
      (error: unknown) => {
        assert.ok(error instanceof CallError);
        return error;
      },
    );
  const everything = (daemon: Daemon, round: number): Promise<(CallError | undefined)[]> => {
    const { stranger } = daemon;
    const source = { path: daemon.image('s.raw'), format: 'raw' };
    const target = (name: string) => daemon.image(`${name}-${String(round)}`);
    const each = (n: number): Promise<unknown>[] => [
      stranger.all('ImageService/ConvertImage', {
        source: source.path,
        source_format: 'raw',
        target: target(`c${String(n)}`),
        target_format: 'qcow2',
      }),
      stranger.all('ImageService/CreateImage', { path: target(`n${String(n)}`), format: 'qcow2', size: '1M' }),
      stranger.all('ImageService/MapImage', source),
      stranger.unary('ImageService/GetImageInfo', source),
      stranger.all('ImageService/DigestImage', source),
      stranger.all('CommandService/Execute', { name: 'true' }),
      stranger.all('FileService/ReadFile', { path: source.path }),
      stranger.unary('HostInfoService/GetHostInfo'),
      stranger.unary('HostInfoService/GetFilesystemInfo', { path: source.path }),
    ];
    return Promise.all(
      Array.from({ length: 4 }, (_, n) => each(n))
        .flat()
        .map(errorOf),
    );
  };
  const COMMAND = '[[commands]]\nname = "true"\nexecutable = "/bin/true"\n';
  const assertHonest = (errors: readonly (CallError | undefined)[], daemon: Daemon) => {
    const failed = errors.filter((error) => error !== undefined);
    assert.deepEqual(
      failed.filter(({ reason }) => reason !== 'HOST_EXHAUSTED').map(({ reason, message }) => `${reason} ${message}`),
      [],
      daemon.log.slice(-3000),
    );
    return failed;
  };
  const assertHealed = async (daemon: Daemon, round: number) => {
    assert.deepEqual(
      (await everything(daemon, round)).map((error) => error?.message),
      (await everything(daemon, round + 1)).map(() => undefined),
    );
    assert.deepEqual(
      await daemon.leftovers(),
      [],
      daemon.log
        .split('\n')
        .filter((line) => /cleanup/.test(line))
        .join('\n'),
    );
    assert.doesNotMatch(daemon.log, /nobody caught|nobody waited/);
    const { operations } = await daemon.stranger.unary('OperationService/ListOperations', { page_size: 1 });
    assert.equal((operations as Message[]).length, 1);
  };

  it('descriptors, at every number that is left', async () => {
    const daemon = await Daemon.start(scratch.path('fds'), { toml: COMMAND });
    try {
      await writeFile(daemon.image('s.raw'), noise(1 << 20));
      await everything(daemon, 0);
      const pid = String(daemon.process.pid);
      const open = Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number)) + 1;
      let refused = 0;
      for (const more of [0, 1, 3, 6, 12]) {
        await sh('prlimit', '--pid', pid, `--nofile=${String(open + more)}:`);
        refused += assertHonest(await everything(daemon, more + 1), daemon).length;
      }
      assert.ok(refused > 0, 'the limit was never felt');
      await sh('prlimit', '--pid', pid, '--nofile=1024:');
      await assertHealed(daemon, 100);
    } finally {
      assert.equal(await daemon.stop(), 0, daemon.log);
    }
  });

  it('processes, at every number that is left, and says so', async function () {
    needs(this, isRoot, 'processes are counted for those who are not root');
    const folder = scratch.path('tasks');
    await sh('chmod', '755', scratch.path());
    await sh('mkdir', '-m', '777', folder, `${folder}/images`);
    const daemon = await Daemon.start(folder, { uid: ALONE, toml: COMMAND });
    try {
      await writeFile(daemon.image('s.raw'), noise(1 << 20), { mode: 0o644 });
      await everything(daemon, 0);
      const pid = String(daemon.process.pid);
      const threads = Number(/^Threads:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
      const limit = (processes: number) =>
        sh(
          'setpriv',
          '--reuid',
          String(ALONE),
          '--regid',
          String(ALONE),
          '--clear-groups',
          'prlimit',
          '--pid',
          pid,
          `--nproc=${String(processes)}:`,
        );
      const messages: string[] = [];
      for (const more of [0, 1, 2, 4, 7]) {
        await limit(threads + more);
        messages.push(...assertHonest(await everything(daemon, more + 1), daemon).map(({ message }) => message));
      }
      assert.ok(messages.length > 0, 'the limit was never felt');
      for (const message of messages) assert.match(message, /too many processes or threads \(EAGAIN\)/);
      await limit(4096);
      await assertHealed(daemon, 100);
    } finally {
      assert.equal(await daemon.stop(), 0, daemon.log);
    }
  });

  it('descriptors from the start: it serves, or says why not', async () => {
    for (const limit of [24, 30, 36, 40, 48]) {
      const folder = scratch.path(`start-${String(limit)}`);
      const daemon = await Daemon.spawn(folder, { within: ['prlimit', `--nofile=${String(limit)}`] });
      const served = await daemon.serving().then(
        () => true,
        () => false,
      );
      const code = await daemon.stop();
      assert.equal(code, served ? 0 : 1, daemon.log);
      if (served) continue;
      // One line, and no trace of the program.
      const [said = '', ...more] = daemon.log.split('\n').filter((line) => !line.startsWith('{') && line !== '');
      assert.deepEqual(more, []);
      assert.match(said, /^hostlerd: .*too many open files|^hostlerd: .*too many files open/);
      assert.match(said, /LimitNOFILE/);
    }
  });
});
