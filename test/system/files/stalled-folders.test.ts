/** A root whose filesystem stops answering while folders in it are listed, moved and removed. */
import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('folders in a root that stalls in the middle', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let server = 0;
  const far = (name: string) => scratch.path('far', name);
  /** Behind the mount, where the system keeps no old list. */
  const disk = (name: string) => scratch.path('sshfs-disk', name);

  before(async function () {
    this.timeout(30_000);
    server = await mountSshfs(this, scratch, scratch.path('far'));
    const folder = scratch.path('daemon');
    const points = ['RemoveDirectory:inspect:pause', 'MoveFile:inspect:pause'];
    daemon = await Daemon.start(folder, {
      toml: `[limits]\nroot_patience_ms = 1000\n[debug]\nfailpoints = ${JSON.stringify(points)}\n`,
      roots: [`${folder}/images`, scratch.path('far')].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
    // The last one given runs first: a stopped server would keep the daemon and the unmount
    // waiting.
    scratch.onEnd(() => daemon.stop());
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
    for (const name of ['removed/below', 'moved/below', 'listed']) await mkdir(disk(name), { recursive: true });
    for (const name of ['removed/below/file', 'moved/below/file', 'listed/a', 'listed/b'])
      await writeFile(disk(name), '');
  });
  const list = (token = '') =>
    daemon.stranger.unary('FileService/ListDirectory', { path: far('listed'), page_size: 1, page_token: token });
  const answersAgain = async () => {
    process.kill(server, 'SIGCONT');
    await until(async () => (await list().catch(() => undefined)) !== undefined);
  };

  const requests: Readonly<Record<string, () => Message>> = {
    RemoveDirectory: () => ({ path: far('removed'), recursive: true }),
    MoveFile: () => ({ source: far('moved'), target: far('elsewhere') }),
  };
  for (const [rpc, request] of Object.entries(requests))
    it(`${rpc} is refused in time, and all is as it was; others are served`, async () => {
      const from = daemon.log.length;
      const ended = failure(daemon.stranger.all(`FileService/${rpc}`, request()));
      await daemon.logged(new RegExp(`"method":"${rpc}".*"step":"inspect"`), from);
      process.kill(server, 'SIGSTOP');
      try {
        daemon.process.kill('SIGUSR2');
        // The system may still know what the index has looked at: then the index is what stalls.
        const { reason } = await ended;
        assert.ok(['ROOT_STALLED', 'DEPENDANTS_UNKNOWN'].includes(reason), reason);
        const { entries = [] } = await daemon.stranger.unary('FileService/ListDirectory', {
          path: scratch.path('daemon/images'),
        });
        assert.deepEqual(entries, []);
      } finally {
        await answersAgain();
      }
      const name = rpc === 'MoveFile' ? 'moved' : 'removed';
      assert.deepEqual((await readdir(disk(name), { recursive: true })).toSorted(), ['below', 'below/file']);
      // What the call had begun goes once the root answers.
      await until(async () => (await readdir(disk(''))).toSorted().join(' ') === 'listed moved removed');
    });

  it('ListDirectory: ROOT_STALLED between two pages, and the list goes on when it answers', async () => {
    const first = await list();
    const token = first['next_page_token'] as string;
    process.kill(server, 'SIGSTOP');
    try {
      // The system knows some of it for a while.
      const reasonOf = (error: unknown) => (error instanceof CallError ? error.reason : String(error));
      await until(async () => (await list(token).then(String, reasonOf)) === 'ROOT_STALLED');
    } finally {
      await answersAgain();
    }
    const { entries = [] } = await list(token);
    assert.deepEqual(
      (entries as Message[]).map(({ name }) => name),
      ['b'],
    );
  });
});
