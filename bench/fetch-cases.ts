/**
 * Fetching from nginx beside curl: with a conversion, without one, from the cache; and what memory
 * it takes.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Daemon } from '../test/support/daemon.js';
import { installed } from '../test/support/needs.js';
import { Nginx } from '../test/support/servers/nginx.js';
import { sh } from '../test/support/shell.js';
import { halfNoise } from './convert-cases.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

const MIB = 1024 * 1024;

export interface FetchBench {
  readonly cases: readonly Case[];
  /** Fetches a small and a large image, and tells what memory the daemon took at its peak. */
  memory(): Promise<readonly { readonly sizeMib: number; readonly peakMib: number }[]>;
  close(): Promise<void>;
}

/** @param cached a folder on a filesystem that shares extents, with the cache on it */
export async function openFetchBench(folder: string, daemon: Daemon, cached: string | undefined): Promise<FetchBench> {
  if (!installed('nginx') || !installed('curl')) throw new Error('nginx or curl is missing: make bench installs them');
  const www = join(folder, 'www');
  await mkdir(www, { recursive: true });
  await halfNoise(join(folder, 'raw'));
  const options = ['-c', '-m', '16', '-O', 'qcow2', '-o', 'compression_type=zstd'];
  await sh('qemu-img', 'convert', ...options, join(folder, 'raw'), join(www, 'disk.qcow2'));
  await dense(join(www, 'disk.raw'), 1024);
  const nginx = await Nginx.start(folder);
  const bench = { folder, www, nginx, daemon };
  return {
    cases: [converted(bench), asItIs(bench), ...(cached === undefined ? [] : [fromCache(bench, cached)])],
    async memory() {
      const figures = [];
      for (const sizeMib of [256, 4096]) figures.push({ sizeMib, peakMib: await peak(bench, sizeMib) });
      return figures;
    },
    async close() {
      await nginx.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface Bench {
  readonly folder: string;
  readonly www: string;
  readonly nginx: Nginx;
  readonly daemon: Daemon;
}

function converted({ folder, nginx, daemon }: Bench): Case {
  const [ours, theirs] = [daemon.image('fetched-ours'), daemon.image('fetched-theirs')];
  const url = nginx.url('disk.qcow2');
  const same = async (made: string) => {
    await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', join(folder, 'raw'), made);
  };
  return {
    name: 'fetch: qcow2 -> raw',
    bar: '<= 0.85x curl, then qemu-img convert -t none',
    contenders: [
      {
        name: 'FetchImage',
        prepare: () => rm(ours, { force: true }),
        run: () => fetch(daemon, 'FetchImage', { source: { http: { url } }, target: ours, target_format: 'raw' }),
        verify: () => same(ours),
      },
      shell(
        'curl, then qemu-img convert -t none',
        'curl -sf -o "$1.part" "$2" && qemu-img convert -t none -f qcow2 -O raw "$1.part" "$1" && rm "$1.part"',
        theirs,
        url,
      ),
    ],
  };
}

function asItIs({ www, nginx, daemon }: Bench): Case {
  const [ours, theirs] = [daemon.image('fetched-ours.raw'), daemon.image('fetched-theirs.raw')];
  const url = nginx.url('disk.raw');
  return {
    name: 'fetch: raw -> raw, 1 GiB',
    bar: '<= 1.10x curl',
    contenders: [
      {
        name: 'FetchImage',
        prepare: () => rm(ours, { force: true }),
        run: () => fetch(daemon, 'FetchImage', { source: { http: { url } }, target: ours, target_format: 'raw' }),
        verify: async () => {
          await sh('cmp', join(www, 'disk.raw'), ours);
        },
      },
      shell('curl && sync', 'curl -sf -o "$1" "$2" && sync "$1"', theirs, url),
      shell('curl, left in the page cache', 'curl -sf -o "$1" "$2"', theirs, url),
    ],
  };
}

function fromCache({ nginx, daemon }: Bench, cached: string): Case {
  const target = join(cached, 'fetched');
  const request = {
    source: { http: { url: nginx.url('disk.qcow2') } },
    target,
    target_format: 'raw',
    use_cache: true,
  };
  return {
    name: 'fetch: from the cache, on a reflink filesystem',
    bar: '<= 50 ms',
    contenders: [
      {
        name: 'FetchImage',
        prepare: () => rm(target, { force: true }),
        run: () => fetch(daemon, 'FetchImage', request),
      },
    ],
    rounds: 9,
  };
}

async function fetch(daemon: Daemon, rpc: string, request: object): Promise<void> {
  await daemon.stranger.operation(`ImageService/${rpc}`, { ...request });
}

function shell(name: string, script: string, target: string, url: string): Contender {
  return {
    name,
    prepare: () => rm(target, { force: true }),
    run: async () => {
      await peer('sh', '-c', script, 'sh', target, url);
    },
  };
}

/** Since the kernel was told to forget the peak before. */
async function peak({ www, nginx, daemon }: Bench, sizeMib: number): Promise<number> {
  const [name, target] = [`memory-${String(sizeMib)}`, daemon.image('fetched-memory')];
  await dense(join(www, name), sizeMib);
  const process = `/proc/${String(daemon.process.pid)}`;
  await writeFile(`${process}/clear_refs`, '5');
  await fetch(daemon, 'FetchRawImage', { source: { http: { url: nginx.url(name) } }, target });
  const [, kib] = /VmHWM:\s+(\d+)/.exec(await readFile(`${process}/status`, 'utf8')) ?? [];
  await rm(target);
  await rm(join(www, name));
  return Math.round((Number(kib) * 1024) / MIB);
}

async function dense(path: string, sizeMib: number): Promise<void> {
  const script = 'openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c "$2" >"$1"';
  await sh('bash', '-c', script, 'bash', path, String(sizeMib * MIB));
}
