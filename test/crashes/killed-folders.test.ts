/** The daemon is killed at every step of what works on folders and names. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { link, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

interface Case {
  readonly rpc: string;
  readonly steps: readonly string[];
  readonly request: () => Message;
  /** What is there before, and after it has succeeded: all names below the images. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

describe('crash matrix of folders', () => {
  const scratch = scratchFolder();
  const image = (name: string) => scratch.path('daemon/images', name);
  const start = (failpoint?: string) =>
    Daemon.start(
      scratch.path('daemon'),
      failpoint === undefined ? {} : { toml: `[debug]\nfailpoints = ["${failpoint}"]\n` },
    );
  const ends = ['commit', 'publish', 'published', 'cleaned'];
  const tree = ['tree', 'tree/a', 'tree/a/b', 'tree/a/b/file', 'tree/file'];
  const cases: readonly Case[] = [
    {
      rpc: 'CreateDirectory',
      steps: ['admitted', 'started', 'prepare', ...ends],
      request: () => ({ path: image('new/a/b'), parents: true }),
      before: [],
      after: ['new', 'new/a', 'new/a/b'],
    },
    {
      rpc: 'RemoveDirectory',
      steps: ['admitted', 'started', 'inspect', 'prepare', ...ends],
      request: () => ({ path: image('tree'), recursive: true }),
      before: tree,
      after: [],
    },
    {
      rpc: 'MoveFile',
      steps: ['admitted', 'started', 'inspect', ...ends],
      request: () => ({ source: image('tree'), target: image('moved') }),
      before: tree,
      after: tree.map((name) => name.replace('tree', 'moved')),
    },
  ];
  const names = async () => (await readdir(image(''), { recursive: true })).toSorted();

  for (const { rpc, steps, request, before, after } of cases)
    for (const step of steps)
      it(`${rpc}, killed at ${step}`, async () => {
        await mkdir(image(''), { recursive: true });
        for (const name of before)
          await (name.endsWith('file') ? writeFile(image(name), 'x') : mkdir(image(name), { recursive: true }));
        const first = await start(`${rpc}:${step}:kill`);
        const id = { request_id: `${rpc}-${step}` };
        await failure(first.stranger.all(`FileService/${rpc}`, { ...request(), ...id }));
        first.stranger.close();
        await first.exited;
        const passed = step === 'published' || step === 'cleaned';
        const second = await start();
        try {
          // The sweep removes what nobody can reach.
          await until(async () => (await second.leftovers()).length === 0);
          assert.deepEqual(await names(), passed ? after : before);
          const result = await second.stranger.operation(`FileService/${rpc}`, { ...request(), ...id });
          assert.equal(result['replayed'] ?? false, passed);
          assert.deepEqual(await names(), after);
        } finally {
          await second.stop();
          for (const name of ['new', 'tree', 'moved']) await rm(image(name), { recursive: true, force: true });
          assert.ok(!existsSync(image('tree')));
        }
      });

  it('MoveFile, killed where a file has both names, as filesystems without such a rename do it', async () => {
    await mkdir(image(''), { recursive: true });
    await writeFile(image('old'), 'x');
    const first = await start('MoveFile:published:kill');
    const request = { source: image('old'), target: image('new'), request_id: 'both' };
    await failure(first.stranger.all('FileService/MoveFile', request));
    first.stranger.close();
    await first.exited;
    await link(image('new'), image('old'));
    const second = await start();
    try {
      assert.deepEqual(await names(), ['new']);
      const result = await second.stranger.operation('FileService/MoveFile', request);
      assert.equal(result['replayed'], true);
    } finally {
      await second.stop();
      await rm(image(''), { recursive: true });
    }
  });

  describe('MoveFile that rewrites headers', () => {
    const overlays = ['one', 'two', 'three'];
    const base = async (name: string) => {
      const info = JSON.parse(await sh('qemu-img', 'info', '--output=json', image(name))) as Message;
      await sh('qemu-img', 'map', image(name));
      return info['backing-filename'];
    };
    /** It pauses before each header. */
    const killInSecond = async (daemon: Daemon) => {
      await daemon.logged(/"step":"rename"/);
      const from = daemon.log.length;
      daemon.process.kill('SIGUSR2');
      await daemon.logged(/"step":"rename"/, from);
      daemon.process.kill('SIGKILL');
    };
    for (const step of ['commit', 'publish', 'touch', 'rename', 'move', 'published', 'cleaned'])
      for (const kind of ['file', 'folder'])
        it(`a ${kind}, killed at ${step}`, async () => {
          const [from, to] = kind === 'file' ? ['base', 'moved'] : ['folder', 'other'];
          const named = kind === 'file' ? '' : '/base';
          await mkdir(image('folder'), { recursive: true });
          await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image(`${from}${named}`), '1M');
          for (const name of overlays)
            await sh(
              ...['qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', image(`${from}${named}`)],
              ...[image(name), '1M'],
            );
          const first = await start(`MoveFile:${step}:${step === 'rename' ? 'pause' : 'kill'}`);
          const request = {
            source: image(from),
            target: image(to),
            rewrite_backing_files: true,
            request_id: `${kind}-${step}`,
          };
          const ended = failure(first.stranger.all('FileService/MoveFile', request));
          if (step === 'rename') await killInSecond(first);
          await ended;
          first.stranger.close();
          await first.exited;
          // Before the next start too, every image finds its base.
          for (const name of overlays) await base(name);
          const second = await start();
          try {
            await until(async () => {
              const filter = { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] };
              const { operations = [] } = await second.stranger.unary('OperationService/ListOperations', { filter });
              return (operations as Message[]).length === 0;
            });
            const isMoved = step !== 'commit';
            const name = image(`${isMoved ? to : from}${named}`);
            for (const each of overlays) assert.equal(await base(each), name);
            assert.deepEqual([existsSync(image(from)), existsSync(image(to))], [!isMoved, isMoved]);
            assert.ok(!isMoved || !(await lstat(image(to))).isSymbolicLink());
            const result = await second.stranger.operation('FileService/MoveFile', request);
            assert.equal(result['replayed'] ?? false, isMoved);
            for (const each of overlays) assert.equal(await base(each), image(`${to}${named}`));
            assert.deepEqual(await second.leftovers(), []);
          } finally {
            await second.stop();
            await rm(image(''), { recursive: true });
          }
        });
  });
});
