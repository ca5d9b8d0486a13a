/** Owners of a container's tree. */
import { existsSync } from 'node:fs';
import { sh } from '../test/support/shell.js';
import type { Daemon } from '../test/support/daemon.js';
import type { Case } from './harness.js';
import { peer } from './peers.js';

const FOLDERS = 100;
const FILES = 1000;
/** What the old module did, without its privileged helper. */
const WALK = `
import os, sys
def shift(path):
    found = os.lstat(path)
    os.lchown(path, found.st_uid + 10000, found.st_gid + 10000)
shift(sys.argv[1])
for root, folders, files in os.walk(sys.argv[1]):
    for name in folders + files:
        shift(os.path.join(root, name))
`;

export function ownerCases(daemon: Daemon): Case[] {
  const tree = daemon.image('owners');
  const prepare = async () => {
    const script = `mkdir -p "$1" && cd "$1" && for d in $(seq ${String(FOLDERS)}); do mkdir $d && (cd $d && seq ${String(FILES)} | xargs touch); done`;
    if (!existsSync(tree)) await sh('bash', '-c', script, 'bash', tree);
    await sh('chown', '-R', '0:0', tree);
  };
  const verify = async () => {
    const right = (await sh('find', tree, '-uid', '10000', '-gid', '10000', '-printf', 'x')).length;
    if (right !== FOLDERS * (FILES + 1) + 1) throw new Error(`${String(right)} entries have the right owner`);
  };
  const maps = [{ start: 0, target: 10_000, count: 10 }];
  return [
    {
      name: 'owners: ChownForIdMaps of 100,101 entries',
      bar: 'seconds',
      contenders: [
        {
          name: 'ChownForIdMaps',
          prepare,
          verify,
          run: async () => {
            const request = { path: tree, uid_maps: maps, gid_maps: maps };
            await daemon.stranger.operation('FileService/ChownForIdMaps', request);
          },
        },
        {
          name: 'os.walk and os.lchown in Python',
          prepare,
          verify,
          run: async () => {
            await peer('python3', '-c', WALK, tree);
          },
        },
        {
          name: 'chown -R (no maps)',
          prepare,
          verify,
          run: async () => {
            await peer('chown', '-R', '10000:10000', tree);
          },
        },
      ],
    },
  ];
}
