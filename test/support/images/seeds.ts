/** Small images of every format, to cut short and to mutate. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { sh, tryRun } from '../shell.js';

/** No header with its tables is longer than this; what follows is left out. */
const SEED_BYTES = 1 << 20;

const OPTIONS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  qcow2: [[], ['-o', 'compat=0.10'], ['-o', 'extended_l2=on'], ['-u', '-F', 'raw', '-b', '/base.raw']],
  qcow: [['-u', '-F', 'raw', '-b', '/base.raw']],
  qed: [[], ['-u', '-F', 'raw', '-b', '/base.raw']],
  vdi: [[]],
  vmdk: [[], ['-o', 'subformat=streamOptimized'], ['-o', 'subformat=monolithicFlat']],
  vpc: [[], ['-o', 'subformat=fixed']],
  vhdx: [['-o', 'log_size=1M,block_size=1M']],
  parallels: [[]],
};

export interface Seed {
  readonly name: string;
  readonly content: Buffer;
}

/**
 * Made in the folder by qemu-img; luks, bochs, cloop and dmg by hand, for it makes none, or not
 * fast.
 */
export async function makeSeeds(folder: string): Promise<Seed[]> {
  const seeds: Seed[] = [];
  for (const [format, variants] of Object.entries(OPTIONS)) {
    for (const [n, options] of variants.entries()) {
      const path = join(folder, `seed-${String(n)}.${format}`);
      await sh('qemu-img', 'create', '-q', '-f', format, ...options, path, '1M');
      if (format === 'qcow2' && n < 2) await sh('qemu-img', 'snapshot', '-c', 'snap', path);
      seeds.push({ name: `${format} ${options.join(' ')}`.trim(), content: await shorten(path) });
    }
  }
  const stream = join(folder, 'stream.vmdk');
  await writeFile(join(folder, 'disk'), Buffer.alloc(1 << 17, 'disk'));
  await tryRun('qemu-img', [
    'convert',
    '-f',
    'raw',
    '-O',
    'vmdk',
    '-o',
    'subformat=streamOptimized',
    join(folder, 'disk'),
    stream,
  ]);
  return [...seeds, { name: 'vmdk, converted', content: await readFile(stream) }, ...byHand()];
}

/** Disks without a container: two partitions each. */
export function makeDisks(): Seed[] {
  const mbr = Buffer.alloc(1 << 16);
  mbr.writeUInt16LE(0xaa55, 510);
  for (const [n, first] of [8, 64].entries()) {
    mbr.writeUInt8(0x83, 446 + n * 16 + 4);
    mbr.writeUInt32LE(first, 446 + n * 16 + 8);
    mbr.writeUInt32LE(32, 446 + n * 16 + 12);
  }
  const gpt = Buffer.alloc(1 << 16);
  gpt.writeUInt16LE(0xaa55, 510);
  gpt.writeUInt8(0xee, 446 + 4);
  gpt.writeUInt32LE(1, 446 + 8);
  gpt.writeUInt32LE(127, 446 + 12);
  gpt.write('EFI PART', 512);
  gpt.writeUInt32LE(92, 512 + 12);
  for (const [offset, value] of [
    [24, 1n],
    [32, 127n],
    [40, 34n],
    [48, 94n],
    [72, 2n],
  ] as const)
    gpt.writeBigUInt64LE(value, 512 + offset);
  gpt.writeUInt32LE(128, 512 + 80);
  gpt.writeUInt32LE(128, 512 + 84);
  gpt.writeUInt32LE(crc32(gpt.subarray(1024, 1024 + 128 * 128)), 512 + 88);
  gpt.writeUInt32LE(crc32(gpt.subarray(512, 512 + 92)), 512 + 16);
  return [
    { name: 'mbr', content: mbr },
    { name: 'gpt', content: gpt },
  ];
}

async function shorten(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(4 * SEED_BYTES), position: 0 });
    // A fixed VHD has its footer at the end.
    return path.endsWith('.vpc') ? await readFile(path) : buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function byHand(): Seed[] {
  const luks1 = Buffer.alloc(8192);
  luks1.write('LUKS\xba\xbe', 0, 'latin1');
  luks1.writeUInt16BE(1, 6);
  luks1.writeUInt32BE(8, 104);
  const luks2 = Buffer.alloc(32768);
  luks2.write('LUKS\xba\xbe', 0, 'latin1');
  luks2.writeUInt16BE(2, 6);
  luks2.writeBigUInt64BE(16384n, 8);
  luks2.write('{"segments":{"0":{"type":"crypt","offset":"16384","size":"dynamic"}}}', 4096);
  const bochs = Buffer.alloc(1024);
  bochs.write('Bochs Virtual HD Image');
  bochs.writeUInt32LE(0x00020000, 64);
  bochs.writeBigUInt64LE(1n << 20n, 88);
  const cloop = Buffer.alloc(1024);
  cloop.write('#!/bin/sh\n#V2.0 Format\nmodprobe cloop');
  cloop.writeUInt32BE(65536, 128);
  cloop.writeUInt32BE(16, 132);
  const dmg = Buffer.alloc(1024);
  dmg.write('koly', 512);
  dmg.writeBigUInt64BE(2048n, 512 + 492);
  const esx = Buffer.alloc(1024);
  esx.write('COWD');
  esx.writeUInt32LE(2048, 12);
  esx.writeUInt32LE(128, 16);
  return Object.entries({ 'luks 1': luks1, 'luks 2': luks2, bochs, cloop, dmg, 'vmdk ESX': esx }).map(
    ([name, content]) => ({
      name,
      content,
    }),
  );
}
