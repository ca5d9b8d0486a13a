/** A root whose filesystem stops answering while its images are listed, looked at and watched. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../../support/daemon.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, failure, reasonIn, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('an inventory of a root that stalls in the middle', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let server = 0;
  const far = (name: string) => scratch.path('far', name);
  const near = (name: string) => scratch.path('daemon/images', name);
  const list = (path: string, token = '') =>
    daemon.stranger.unary('ImageService/ListImages', { path, page_size: 1, page_token: token });
  const pathsIn = (answer: Message) => ((answer['images'] ?? []) as Message[]).map(({ path }) => path);
  const reasonOf = (error: unknown) => (error instanceof CallError ? error.reason : String(error));
  /** A busy machine may take the patience of a root for the start of a thread. */
  const answered = async (path: string, token = '') => {
    const found: Message[] = [];
    await until(async () => {
      found.push(
        ...(await list(path, token).then(
          (page) => [page],
          () => [],
        )),
      );
      return found.length > 0;
    });
    return found[0] ?? {};
  };
  const untilStalled = (call: () => Promise<unknown>) =>
    until(async () => (await call().then(String, reasonOf)) === 'ROOT_STALLED');

  before(async function () {
    this.timeout(60_000);
    server = await mountSshfs(this, scratch, scratch.path('far'));
    // Before the daemon looks: sshfs keeps a list for a while.
    for (const name of ['a', 'b']) await writeFile(scratch.path('sshfs-disk', name), 'x');
    const folder = scratch.path('daemon');
    daemon = await Daemon.start(folder, {
      toml: '[limits]\nroot_patience_ms = 1000\n',
      roots: [`${folder}/images`, scratch.path('far')].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
    // The last one given runs first: a stopped server would keep the daemon and the unmount
    // waiting.
    scratch.onEnd(() => daemon.stop());
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
    await writeFile(near('own'), 'x');
  });

  it('says so in time, serves the other roots, and goes on where it was', async function () {
    this.timeout(60_000);
    const first = await answered(far(''));
    assert.deepEqual(pathsIn(first), [far('a')]);
    const token = first['next_page_token'] as string;
    const watch = failure(daemon.stranger.all('ImageService/WatchImages', { path: far('') }));
    process.kill(server, 'SIGSTOP');
    try {
      await untilStalled(() => list(far(''), token));
      // A watch asks again and again whether its root is there.
      assert.equal((await watch).reason, 'ROOT_STALLED');
      // Bases of its images may lie there, which are not counted then.
      const others = await answered(near(''));
      assert.deepEqual(pathsIn(others), [near('own')]);
      assert.deepEqual(
        (others['unseen'] as Message[]).map(({ path }) => path),
        [scratch.path('far')],
      );
      const answers = await daemon.stranger.all('ImageService/BatchGetImageInfo', { paths: [far('b'), near('own')] });
      const [there, here] = answers.flatMap(({ results }) => results as Message[]);
      assert.equal(reasonIn(there?.['error']), 'ROOT_STALLED');
      assert.equal((here?.['info'] as Message | undefined)?.['path'], near('own'));
    } finally {
      process.kill(server, 'SIGCONT');
    }
    assert.deepEqual(pathsIn(await answered(far(''), token)), [far('b')]);
  });
});

describe('an inventory whose own file takes longer than the patience of its root', () => {
  const scratch = scratchFolder();

  it('does not say that the root does not answer', async () => {
    const folder = scratch.path('daemon');
    const start = () => Daemon.start(folder, { toml: '[limits]\nroot_patience_ms = 500\n' });
    const list = (from: Daemon) => from.stranger.unary('ImageService/ListImages', { path: from.image('') });
    const first = await start();
    await writeFile(first.image('own'), 'x');
    await list(first);
    await first.stop();
    const [file = ''] = (await readdir(join(folder, 'state/inventory'))).filter((name) => !/-(wal|shm)$/.test(name));
    const holder = new DatabaseSync(join(folder, 'state/inventory', file));
    holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    const second = await start();
    try {
      const listed = list(second);
      // So long the thread waits for its file: three times the patience.
      await sleep(1500);
      holder.close();
      assert.deepEqual(
        ((await listed)['images'] as Message[]).map(({ path }) => path),
        [second.image('own')],
      );
    } finally {
      await second.stop();
    }
  });
});
