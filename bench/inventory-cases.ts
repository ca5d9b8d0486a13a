/** How fast a root of many images is listed, and many images are looked at in one call. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case } from './harness.js';
import { peer } from './peers.js';

const [IMAGES, FOLDERS, ASKED, QEMU_ASKED, LAYERS, CALLS] = [100_000, 100, 1000, 20, 16, 20];

/**
 * Makes 100,000 images when one of its cases runs. `find` with a loop that reads each header once is
 * what an inventory that is made anew is held against.
 */
export function inventoryCases(daemon: Daemon): Case[] {
  const root = daemon.image('');
  const folder = join(root, 'many');
  const image = (n: number) => join(folder, String(n % FOLDERS), `image-${String(n)}`);
  let made = false;
  const prepare = async () => {
    if (made) return;
    made = true;
    // A daemon before this one may have had them too.
    if (!existsSync(folder)) {
      await mkdir(folder);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(root, 'template'), '1G');
      await sh('python3', '-c', MAKE, join(root, 'template'), folder, String(IMAGES), String(FOLDERS));
    }
    await list();
  };
  const list = async (most = Number.POSITIVE_INFINITY) => {
    let [token, count] = ['', 0];
    for (let pages = 0; pages < most; pages++) {
      const request = { path: folder, page_size: 1000, page_token: token };
      const answer = await daemon.stranger.unary('ImageService/ListImages', request);
      count += ((answer['images'] ?? []) as unknown[]).length;
      token = (answer['next_page_token'] ?? '') as string;
      if (token === '') break;
    }
    if (most === Number.POSITIVE_INFINITY && count !== IMAGES) throw new Error(`listed ${String(count)}`);
  };
  const layer = (n: number) => daemon.image(`inventory-layer-${String(n)}.qcow2`);
  const chain = async () => {
    for (let n = 0; n < LAYERS; n++) {
      const base = n === 0 ? [] : ['-F', 'qcow2', '-b', layer(n - 1)];
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...base, layer(n), '1G');
    }
  };
  return [
    {
      name: `inventory: the first page of ${String(IMAGES)} images`,
      bar: '<= 300 ms',
      contenders: [{ name: 'ListImages', prepare, run: () => list(1) }],
    },
    {
      name: `inventory: all pages of ${String(IMAGES)} images`,
      bar: '<= 5000 ms',
      contenders: [
        { name: 'ListImages', prepare, run: () => list() },
        {
          name: 'find, and each header read once',
          prepare,
          run: async () => {
            await peer('python3', '-c', READ, folder);
          },
        },
      ],
    },
    {
      name: `inventory: BatchGetImageInfo of ${String(ASKED)} images, and ${String(QEMU_ASKED)} by qemu-img info`,
      bar: '<= 125 ms',
      contenders: [
        {
          name: 'BatchGetImageInfo',
          prepare,
          run: async () => {
            const paths = Array.from({ length: ASKED }, (_, n) => image(n));
            await daemon.stranger.all('ImageService/BatchGetImageInfo', { paths });
          },
        },
        {
          name: 'qemu-img info',
          prepare,
          run: async () => {
            for (let n = 0; n < QEMU_ASKED; n++) await peer('qemu-img', 'info', '--output=json', image(n));
          },
        },
      ],
    },
    {
      name: `inventory: BatchGetImageInfo of a chain of ${String(LAYERS)}, ${String(CALLS)} times`,
      bar: '<= 0.05x qemu-img info --backing-chain',
      contenders: [
        {
          name: 'BatchGetImageInfo',
          prepare: chain,
          run: async () => {
            const paths = new Array<string>(CALLS).fill(layer(LAYERS - 1));
            const request = { paths, format: 'qcow2', backing_chain: true };
            await daemon.stranger.all('ImageService/BatchGetImageInfo', request);
          },
        },
        {
          name: 'qemu-img info --backing-chain',
          prepare: chain,
          run: async () => {
            for (let n = 0; n < CALLS; n++)
              await peer('qemu-img', 'info', '--backing-chain', '-f', 'qcow2', layer(LAYERS - 1));
          },
        },
      ],
    },
  ];
}

/** TEMPLATE FOLDER IMAGES FOLDERS: makes many small images. */
export const MAKE = `
import os, sys
template, folder, count, folders = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
head = open(template, 'rb').read()
for n in range(folders): os.makedirs(f'{folder}/{n}', exist_ok=True)
for n in range(count):
    fd = os.open(f'{folder}/{n % folders}/image-{n}', os.O_WRONLY | os.O_CREAT)
    os.write(fd, head[:4096]); os.ftruncate(fd, len(head)); os.close(fd)
`;

/** FOLDER: finds everything in it, and reads each header once. */
export const READ = `
import os, subprocess, sys
out = subprocess.run(['find', sys.argv[1], '-type', 'f', '-printf', '%p\\\\0%s\\\\0%T@\\\\0'], stdout=subprocess.PIPE).stdout
for path in out.split(b'\\0')[:-1:3]:
    fd = os.open(path, os.O_RDONLY); os.pread(fd, 512, 0); os.close(fd)
`;
