/** Copies on one host. Large sparse images are compared by extents. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Daemon } from '../test/support/daemon.js';
import { allocatedBytes } from '../test/support/images/disks.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

export const MAKE: Readonly<Record<string, string>> = {
  // 800 runs of 1 MiB, one every 25 MiB.
  'scattered 20 GiB': `truncate -s 20G "$1"; head -c 838860800 /dev/urandom >"$1.data"
    python3 - "$1" <<'PY'
import sys
with open(sys.argv[1] + '.data', 'rb') as data, open(sys.argv[1], 'r+b') as disk:
    for n in range(800):
        disk.seek(n * 25 << 20)
        disk.write(data.read(1 << 20))
PY
    rm "$1.data"; sync "$1"`,
  'dense 2 GiB': 'head -c 2147483648 /dev/urandom >"$1"; sync "$1"',
  'empty 8 TiB': 'truncate -s 8T "$1"',
};

export function copyCases(daemon: Daemon, xfs: string | undefined): Case[] {
  const cases = [
    copyCase(daemon, 'scattered 20 GiB', '<= 1.10x the best (or + 50 ms below 1 s)', daemon.image('')),
    copyCase(daemon, 'dense 2 GiB', '<= 1.10x the best', daemon.image('')),
    copyCase(daemon, 'empty 8 TiB', '<= 60 ms', daemon.image('')),
  ];
  if (xfs === undefined) return cases;
  return [...cases, reflinkCase(daemon, 'scattered 20 GiB', xfs), reflinkCase(daemon, 'dense 2 GiB', xfs)];
}

function files(folder: string, kind: string) {
  const [source, ours, theirs] = ['source', 'ours', 'theirs'].map((name) =>
    join(folder, `copy-${kind.replaceAll(' ', '-')}-${name}`),
  );
  if (source === undefined || ours === undefined || theirs === undefined) throw new Error('never');
  const fresh = async () => {
    await rm(ours, { force: true });
    await rm(theirs, { force: true });
    if (!existsSync(source)) await sh('bash', '-c', MAKE[kind] ?? '', 'bash', source);
  };
  return { source, ours, theirs, fresh };
}

function copyCase(daemon: Daemon, kind: string, bar: string, folder: string): Case {
  const { source, ours, theirs, fresh } = files(folder, kind);
  const bare = (name: string, command: string): Contender => ({
    name,
    prepare: fresh,
    run: async () => {
      await peer('sh', '-c', `${command} && sync "$2"`, 'sh', source, theirs);
    },
  });
  const peers = [
    bare('cp', 'cp --sparse=auto "$1" "$2"'),
    bare('qemu-img -W -m 16', 'qemu-img convert -f raw -O raw -W -m 16 "$1" "$2"'),
  ];
  // nbdcopy reads 8 TiB of holes one by one.
  if (kind !== 'empty 8 TiB') peers.push(bare('nbdcopy', 'truncate -r "$1" "$2" && nbdcopy -- "$1" "$2"'));
  return { name: `copy: ${kind}`, bar, contenders: [ourCopy(daemon, source, ours, fresh), ...peers] };
}

function reflinkCase(daemon: Daemon, kind: string, folder: string): Case {
  const { source, ours, theirs, fresh } = files(folder, kind);
  const cp: Contender = {
    name: 'cp --reflink=always',
    prepare: fresh,
    run: async () => {
      await peer('sh', '-c', 'cp --reflink=always "$1" "$2" && sync "$2"', 'sh', source, theirs);
    },
  };
  return { name: `copy: reflink of ${kind}`, bar: '<= 20 ms', contenders: [ourCopy(daemon, source, ours, fresh), cp] };
}

function ourCopy(daemon: Daemon, source: string, target: string, prepare: () => Promise<void>): Contender {
  return {
    name: 'CopyImage',
    prepare,
    run: async () => {
      await daemon.stranger.operation('ImageService/CopyImage', { source, target });
    },
    verify: async () => {
      await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', source, target);
      const [before, after] = [await allocatedBytes(source), await allocatedBytes(target)];
      if (after > before * 1.02 + 65536)
        throw new Error(`the copy takes ${String(after)} bytes, the source ${String(before)}`);
    },
  };
}
