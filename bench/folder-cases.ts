/** How fast folders are made, moved and removed, beside mkdir, mv and rm. */
import { rm } from 'node:fs/promises';
import type { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

const [DEPTH, FILES, CALLS, TREE_ROUNDS] = [8, 1000, 20, 5];

/** Ours are on disk when they answer; each tool is measured with a sync of what it made, too. */
export function folderCases(daemon: Daemon): Case[] {
  const [ours, theirs] = [daemon.image('folder-ours'), daemon.image('folder-theirs')];
  const path = (folder: string) => `${folder}/${Array.from({ length: DEPTH }, (_, n) => `d${String(n)}`).join('/')}`;
  const fresh = async () => {
    for (const folder of [ours, theirs]) {
      await rm(folder, { recursive: true, force: true });
      await sh('mkdir', folder);
    }
  };
  const files = async () => {
    await fresh();
    for (const folder of [ours, theirs]) await sh('python3', '-c', MAKE_FILES, folder, String(FILES));
  };
  const many = (rpc: string, requestOf: (n: number) => Record<string, unknown>) => async () => {
    for (let n = 0; n < CALLS; n++) await daemon.stranger.operation(`FileService/${rpc}`, requestOf(n));
  };
  const bare = (name: string, prepare: () => Promise<void>, script: string): Contender[] =>
    [
      ['', ''],
      [' && sync', '&& sync -f .'],
    ].map(([words = '', sync = '']) => ({
      name: name + words,
      prepare,
      run: async () => {
        await peer('sh', '-c', `cd '${theirs}' && ${script.replaceAll('SYNC', sync)}`);
      },
    }));
  const calls = `for n in $(seq 0 ${String(CALLS - 1)}); do`;
  return [
    {
      name: `folders: CreateDirectory with ${String(DEPTH)} parents, ${String(CALLS)} calls`,
      bar: '<= 2.5x mkdir -p, synced',
      contenders: [
        {
          name: 'CreateDirectory',
          prepare: fresh,
          run: many('CreateDirectory', (n) => ({ path: path(`${ours}/${String(n)}`), parents: true })),
        },
        ...bare('mkdir -p', fresh, `${calls} mkdir -p ${path('$n')} SYNC; done`),
      ],
    },
    {
      name: `folders: MoveFile, ${String(CALLS)} calls`,
      bar: '<= 2.5x mv, synced',
      contenders: [
        {
          name: 'MoveFile',
          prepare: files,
          run: many('MoveFile', (n) => ({ source: `${ours}/${String(n)}`, target: `${ours}/moved-${String(n)}` })),
        },
        ...bare('mv', files, `${calls} mv $n moved-$n SYNC; done`),
      ],
    },
    {
      name: `folders: RemoveDirectory of ${String(FILES)} files`,
      bar: '-',
      rounds: TREE_ROUNDS,
      contenders: [
        {
          name: 'RemoveDirectory',
          prepare: files,
          run: async () => {
            await daemon.stranger.operation('FileService/RemoveDirectory', { path: ours, recursive: true });
          },
        },
        ...bare('rm -r', files, `rm -r '${theirs}' && cd .. SYNC`),
      ],
    },
  ];
}

const MAKE_FILES = `
import sys
for n in range(int(sys.argv[2])): open(f'{sys.argv[1]}/{n}', 'w').write('x' * 512)
`;
