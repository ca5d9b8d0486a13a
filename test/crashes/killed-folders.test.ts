/** The daemon is killed at every step of what works on folders and names. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { scratchFolder } from '../support/scratch.js';
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
      request: () => ({ from: image('tree'), to: image('moved') }),
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
});
