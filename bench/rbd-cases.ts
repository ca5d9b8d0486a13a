/**
 * Images of a Ceph cluster of one node on this machine: what the agent adds to what the cluster
 * needs.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cephInstalled, startCeph, stopCeph, type CephCluster } from '../test/support/servers/ceph.js';
import { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

/**
 * A cluster with a daemon of its own; `close` stops both. Undefined, and said, where Ceph is not
 * installed.
 */
export async function openRbdBench(folder: string): Promise<{ cases: Case[]; close: () => Promise<void> } | undefined> {
  if (!cephInstalled()) {
    process.stdout.write('skipped: rbd (Ceph is not installed; scripts/ceph-packages.sh installs it)\n');
    return undefined;
  }
  const ceph = join(folder, 'ceph');
  const closes: (() => Promise<unknown>)[] = [() => stopCeph(ceph)];
  const close = async () => {
    for (const each of closes.reverse()) await each();
  };
  try {
    await mkdir(folder, { recursive: true });
    const cluster = await startCeph(ceph, 'cephx');
    const daemon = await Daemon.start(join(folder, 'daemon'), { toml: cluster.toml() });
    closes.push(() => daemon.stop());
    for (const size of ['10G', '8T']) {
      await cluster.rbd('create', '--size', size, `rbd/base-${size}`);
      await cluster.rbd('snap', 'create', '--no-progress', `rbd/base-${size}@s`);
      await cluster.rbd('snap', 'protect', `rbd/base-${size}@s`);
    }
    const clones = ['10G', '8T'].flatMap((size) => [cloneCase(size, '@s'), cloneCase(size, '')]);
    return { cases: [...clones, fillCase].map((make) => make(cluster, daemon)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

type MakeCase = (cluster: CephCluster, daemon: Daemon) => Case;

/** Of a snapshot that is there, or of the image, for which one has to be made. */
function cloneCase(size: string, snapshot: '@s' | ''): MakeCase {
  return (cluster, daemon) => {
    const base = `rbd/base-${size}${snapshot}`;
    const prepare = async () => {
      if ((await cluster.rbd('ls', 'rbd')).split('\n').includes('ours'))
        await daemon.stranger.operation('ImageService/DeleteImage', { path: 'rbd:rbd/ours' });
      if ((await cluster.rbd('ls', 'rbd')).split('\n').includes('theirs'))
        await cluster.rbd('rm', '--no-progress', 'rbd/theirs');
    };
    const ours: Contender = {
      name: 'CreateOverlay',
      prepare,
      run: async () => {
        const request = { path: 'rbd:rbd/ours', backing_file: `rbd:${base}`, backing_format: 'raw' };
        await daemon.stranger.operation('ImageService/CreateOverlay', request);
      },
    };
    const theirs: Contender = {
      name: 'rbd clone',
      prepare,
      run: async () => {
        await cluster.rbd('clone', `rbd/base-${size}@s`, 'rbd/theirs');
      },
    };
    const what = snapshot === '' ? 'an image' : 'a snapshot';
    return { name: `rbd: clone of ${what} of ${size}`, bar: '<= 300 ms', rounds: 9, contenders: [ours, theirs] };
  };
}

const BYTES = 2 * 1024 ** 3;

/** Dense, so that what the start of a tool costs is little beside it. */
const fillCase: MakeCase = (cluster, daemon) => {
  const { configFile, keyring } = cluster;
  const source = daemon.image('dense.raw');
  const prepare = async () => {
    for (const name of ['ours', 'theirs'])
      if ((await cluster.rbd('ls', 'rbd')).split('\n').includes(name))
        await cluster.rbd('rm', '--no-progress', `rbd/${name}`);
    await cluster.rbd('create', '--size', `${String(BYTES)}B`, 'rbd/theirs');
    if (existsSync(source)) return;
    const noise = 'openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c "$2" >"$1"';
    await sh('bash', '-c', noise, 'bash', source, String(BYTES));
  };
  const target = `rbd:rbd/theirs:conf=${configFile}:keyring=${keyring}`;
  const convert = ['convert', '-n', '-W', '-m', '16', '-f', 'raw', '-O', 'raw', source, target];
  return {
    name: 'rbd: file of 2 GiB into a pool',
    bar: '<= 1.05x qemu-img convert -n -W -m 16 into an image that is there',
    contenders: [
      {
        name: 'ConvertImage',
        prepare,
        run: async () => {
          const request = { source, source_format: 'raw', target: 'rbd:rbd/ours', target_format: 'raw' };
          await daemon.stranger.operation('ImageService/ConvertImage', request);
        },
        verify: async () => {
          await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, target.replace('theirs', 'ours'));
        },
      },
      {
        name: 'qemu-img',
        prepare,
        run: async () => {
          await peer('qemu-img', ...convert);
        },
      },
    ],
  };
};
