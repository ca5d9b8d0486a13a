/** What must not be slow because it is asked often. */
import { rm } from 'node:fs/promises';
import { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

export async function startUp(folder: string): Promise<{ startMs: number }> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const started = performance.now();
    const daemon = await Daemon.spawn(folder);
    while (!daemon.log.includes('"SERVING"')) await new Promise((resolve) => setTimeout(resolve, 2));
    times.push(performance.now() - started);
    await daemon.stop();
  }
  return { startMs: Math.round(times.sort((a, b) => a - b)[2] ?? 0) };
}

export function smallCases(daemon: Daemon): Case[] {
  const base = daemon.image('small-base.qcow2');
  const [ours, theirs] = [daemon.image('small-ours'), daemon.image('small-theirs')];
  const fresh = async () => {
    await rm(ours, { force: true });
    await rm(theirs, { force: true });
    await sh('test', '-e', base).catch(() => sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '20G'));
  };
  const run = (rpc: string, request: Record<string, unknown>) => async () => {
    await daemon.stranger.operation(`ImageService/${rpc}`, request);
  };
  const bare = (name: string, sync: string, ...args: string[]): Contender => ({
    name,
    prepare: fresh,
    run: async () => {
      await peer('sh', '-c', `qemu-img create -q -f qcow2 "$@" ${sync}`, 'sh', ...args);
    },
  });
  /**
   * The bare tool leaves its file in the page cache; ours is on disk when it answers. Both are
   * shown.
   */
  const peers = (...args: string[]) => [
    bare('qemu-img create && sync', `&& sync '${theirs}'`, ...args),
    bare('qemu-img create', '', ...args),
  ];
  return [
    {
      name: 'create: CreateImage of a 20 GiB qcow2',
      bar: '<= 0.7x qemu-img create, not synced',
      limit: { times: 0.7, of: 'qemu-img create' },
      rounds: 21,
      contenders: [
        { name: 'CreateImage', prepare: fresh, run: run('CreateImage', { path: ours, format: 'qcow2', size: '20G' }) },
        ...peers(theirs, '20G'),
      ],
    },
    {
      name: 'create: CreateOverlay',
      bar: '<= 0.7x qemu-img create, not synced',
      limit: { times: 0.7, of: 'qemu-img create' },
      rounds: 21,
      contenders: [
        {
          name: 'CreateOverlay',
          prepare: fresh,
          run: run('CreateOverlay', { path: ours, backing_file: base, backing_format: 'qcow2' }),
        },
        ...peers('-F', 'qcow2', '-b', base, theirs),
      ],
    },
  ];
}
