/** What must not be slow because it is asked often. */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import type { Daemon } from '../test/support/daemon.js';
import { noise } from '../test/support/images/disks.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

const SMALL_BYTES = 1 << 20;

export function smallCases(daemon: Daemon): Case[] {
  const [base, source] = [daemon.image('small-base.qcow2'), daemon.image('small-source.raw')];
  const [ours, theirs] = [daemon.image('small-ours'), daemon.image('small-theirs')];
  const fresh = async () => {
    await rm(ours, { force: true });
    await rm(theirs, { force: true });
    if (existsSync(base)) return;
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '20G');
    await writeFile(source, noise(SMALL_BYTES));
  };
  const run = (rpc: string, request: Record<string, unknown>) => async () => {
    await daemon.stranger.operation(`ImageService/${rpc}`, request);
  };
  const bare = (name: string, sync: string, ...args: string[]): Contender => ({
    name,
    prepare: fresh,
    run: () => peer('sh', '-c', `qemu-img "$@" ${sync}`, 'sh', ...args),
  });
  /**
   * The bare tool leaves its file in the page cache; ours is on disk when it answers. Both are
   * shown.
   */
  const peers = (verb: string, ...args: string[]) => [
    bare(`qemu-img ${verb} && sync`, `&& sync '${theirs}'`, verb, '-q', ...args),
    bare(`qemu-img ${verb}`, '', verb, '-q', ...args),
  ];
  return [
    {
      name: 'create: CreateImage of a 20 GiB qcow2',
      bar: '<= 0.7x qemu-img create, not synced',
      limit: { times: 0.7, of: 'qemu-img create' },
      rounds: 21,
      contenders: [
        { name: 'CreateImage', prepare: fresh, run: run('CreateImage', { path: ours, format: 'qcow2', size: '20G' }) },
        ...peers('create', '-f', 'qcow2', theirs, '20G'),
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
        ...peers('create', '-f', 'qcow2', '-F', 'qcow2', '-b', base, theirs),
      ],
    },
    {
      name: 'convert: ConvertImage of 1 MiB, raw to qcow2',
      bar: '<= 1.6x qemu-img convert, not synced',
      limit: { times: 1.6, of: 'qemu-img convert' },
      rounds: 21,
      contenders: [
        {
          name: 'ConvertImage',
          prepare: fresh,
          run: run('ConvertImage', { source, source_format: 'raw', target: ours, target_format: 'qcow2' }),
          verify: async () => {
            await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', source, ours);
          },
        },
        ...peers('convert', '-f', 'raw', '-O', 'qcow2', source, theirs),
      ],
    },
  ];
}
