/**
 * Conversions that take more than a second. Peers leave data in the page cache: they are timed with
 * a sync.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';
import { peer } from './peers.js';

/** 1.5 GiB of data that compresses to about a half, in a disk of 10 GiB. */
export async function halfNoise(path: string): Promise<void> {
  const script = `
    truncate -s 10G "$1"
    openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 805306368 | dd of="$1" bs=1M conv=notrunc status=none
    yes "a line of text that compresses well" | head -c 805306368 | dd of="$1" bs=1M seek=4096 conv=notrunc status=none`;
  await sh('bash', '-c', script, 'bash', path);
}

export function convertCases(daemon: Daemon): Case[] {
  const [raw, packed] = [daemon.image('convert-source.raw'), daemon.image('convert-source.qcow2')];
  const [ours, theirs] = [daemon.image('convert-ours'), daemon.image('convert-theirs')];
  const fresh = async () => {
    await rm(ours, { force: true });
    await rm(theirs, { force: true });
    if (existsSync(packed)) return;
    await halfNoise(raw);
    await sh('qemu-img', 'convert', '-c', '-m', '16', '-O', 'qcow2', '-o', 'compression_type=zstd', raw, packed);
    await sh('sync');
  };
  const bare = (name: string, from: string, to: string, ...options: string[]): Contender => ({
    name,
    prepare: fresh,
    run: async () => {
      const source = from === 'raw' ? raw : packed;
      await peer(
        'sh',
        '-c',
        'target=$1; shift; qemu-img convert "$@" "$target" && sync "$target"',
        'sh',
        theirs,
        ...options,
        '-f',
        from,
        '-O',
        to,
        source,
      );
    },
  });
  const convert = (from: string, to: string): Contender => ({
    name: 'ConvertImage',
    prepare: fresh,
    run: async () => {
      const source = from === 'raw' ? raw : packed;
      await daemon.stranger.operation('ImageService/ConvertImage', {
        source,
        source_format: from,
        target: ours,
        target_format: to,
      });
    },
    verify: async () => {
      await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', to, raw, ours);
    },
  });
  const bar = '<= 1.05x the best bare command, < 1x the old module';
  return [
    {
      name: 'convert: compressed qcow2 -> raw',
      bar,
      contenders: [
        convert('qcow2', 'raw'),
        bare('qemu-img -W -m 16', 'qcow2', 'raw', '-W', '-m', '16'),
        bare('qemu-img -W -m 16 -t none', 'qcow2', 'raw', '-W', '-m', '16', '-t', 'none'),
        bare('qemu-img', 'qcow2', 'raw'),
        bare('old module: -t none', 'qcow2', 'raw', '-t', 'none'),
      ],
    },
    {
      name: 'convert: raw -> qcow2',
      bar,
      contenders: [
        convert('raw', 'qcow2'),
        bare('qemu-img -m 16', 'raw', 'qcow2', '-m', '16'),
        bare('qemu-img -W -m 16', 'raw', 'qcow2', '-W', '-m', '16'),
        bare('qemu-img -m 16 -t none', 'raw', 'qcow2', '-m', '16', '-t', 'none'),
        bare('qemu-img', 'raw', 'qcow2'),
        bare('old module: -t none', 'raw', 'qcow2', '-t', 'none'),
      ],
    },
  ];
}
