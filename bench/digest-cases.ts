/** Digests, uploads and downloads of one daemon. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Daemon } from '../test/support/daemon.js';
import { HOSTLER } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case } from './harness.js';
import { peer } from './peers.js';

const DENSE = 1024 ** 3;

export function digestCases(daemon: Daemon): Case[] {
  const [empty, dense, sent, back] = ['digest-empty', 'digest-dense', 'digest-sent', 'digest-back'].map((name) =>
    daemon.image(name),
  ) as [string, string, string, string];
  const digest = (path: string) => daemon.stranger.operation('ImageService/DigestImage', { path });
  const made = async () => {
    if (!existsSync(dense)) await sh('bash', '-c', `head -c ${String(DENSE)} /dev/urandom >"$1"`, 'bash', dense);
  };
  const fresh = async () => {
    await made();
    for (const path of [sent, back]) await rm(path, { force: true });
  };
  const image = (...args: string[]) => peer(HOSTLER, '--address', daemon.address, 'image', ...args);
  return [
    {
      name: 'digest of an empty 100 GiB',
      bar: '<= 200 ms',
      // Touched, so that it is not remembered.
      contenders: [
        {
          name: 'DigestImage',
          prepare: async () => {
            await sh('bash', '-c', 'truncate -s 100G "$1"; touch "$1"', 'bash', empty);
          },
          run: async () => {
            await digest(empty);
          },
        },
      ],
    },
    {
      name: 'digest of 1 GiB of data',
      bar: '<= 1.25x',
      contenders: [
        {
          name: 'DigestImage',
          prepare: async () => {
            await made();
            await sh('touch', dense);
          },
          run: async () => {
            await digest(dense);
          },
        },
        {
          name: 'openssl dgst -sha256',
          prepare: made,
          run: async () => {
            await peer('openssl', 'dgst', '-sha256', dense);
          },
        },
      ],
    },
    {
      name: 'upload of 1 GiB',
      bar: '>= 400 MB/s or 0.8x of dd',
      contenders: [
        {
          name: 'hostler image upload',
          prepare: fresh,
          run: async () => {
            await image('upload', dense, sent, '-f', 'raw');
          },
        },
        {
          name: 'dd conv=fsync',
          prepare: fresh,
          run: async () => {
            await peer('dd', `if=${dense}`, `of=${sent}`, 'bs=1M', 'conv=fsync', 'status=none');
          },
        },
      ],
    },
    {
      name: 'download of 1 GiB',
      bar: '>= 400 MB/s or 0.8x of dd',
      contenders: [
        {
          name: 'hostler image download',
          prepare: fresh,
          run: async () => {
            await image('download', dense, back);
          },
        },
        {
          name: 'dd conv=fsync',
          prepare: fresh,
          run: async () => {
            await peer('dd', `if=${dense}`, `of=${back}`, 'bs=1M', 'conv=fsync', 'status=none');
          },
        },
      ],
    },
  ];
}
