/** Small writers of bochs, cloop and dmg, which no tool of a distribution makes. */
import { deflateSync } from 'node:zlib';

const SECTOR = 512;
const EXTENT = 64 << 10;

/** A growing disk: of each extent a map of its sectors, and all of them. */
export function bochs(disk: Buffer): Buffer {
  const extents = disk.length / EXTENT;
  const head = Buffer.alloc(SECTOR);
  head.write('Bochs Virtual HD Image', 0, 'latin1');
  head.write('Redolog', 32, 'latin1');
  head.write('Growing', 48, 'latin1');
  const mapBytes = EXTENT / SECTOR / 8;
  for (const [n, value] of [0x20000, SECTOR, extents, mapBytes, EXTENT].entries())
    head.writeUInt32LE(value, 64 + n * 4);
  head.writeBigUInt64LE(BigInt(disk.length), 88);
  const catalog = Buffer.alloc(extents * 4);
  const map = Buffer.concat([Buffer.alloc(mapBytes, 0xff), Buffer.alloc(SECTOR - mapBytes)]);
  const data = Array.from({ length: extents }, (_, n) => {
    catalog.writeUInt32LE(n, n * 4);
    return [map, disk.subarray(n * EXTENT, (n + 1) * EXTENT)];
  });
  return wholeSectors([head, catalog, ...data.flat()]);
}

/** Blocks that are compressed one by one. */
export function cloop(disk: Buffer): Buffer {
  const packed = pieces(disk).map((piece) => deflateSync(piece));
  const head = Buffer.alloc(136 + 8 * (packed.length + 1));
  head.write('#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n', 0, 'latin1');
  head.writeUInt32BE(EXTENT, 128);
  head.writeUInt32BE(packed.length, 132);
  let at = head.length;
  for (const [n, block] of [...packed, Buffer.alloc(0)].entries()) {
    head.writeBigUInt64BE(BigInt(at), 136 + n * 8);
    at += block.length;
  }
  return wholeSectors([head, ...packed]);
}

/** How a chunk of a dmg is packed; what expands bzip2 is no part of most builds of qemu. */
const [ZLIB, BZIP2, END] = [0x80000005, 0x80000006, 0xffffffff];

/** @param rare the chunks that are bzip2 */
export function dmg(disk: Buffer, rare: readonly number[] = []): Buffer {
  const chunks: Buffer[] = [];
  const data: Buffer[] = [];
  let at = 0;
  const chunk = (type: number, [sector, count]: readonly [number, number], bytes: number) => {
    const entry = Buffer.alloc(40);
    entry.writeUInt32BE(type, 0);
    for (const [n, value] of [sector, count, at, bytes].entries()) entry.writeBigUInt64BE(BigInt(value), 8 + n * 8);
    chunks.push(entry);
  };
  for (const [n, piece] of pieces(disk).entries()) {
    const packed = deflateSync(piece);
    chunk(rare.includes(n) ? BZIP2 : ZLIB, [(n * EXTENT) / SECTOR, piece.length / SECTOR], packed.length);
    data.push(packed);
    at += packed.length;
  }
  chunk(END, [disk.length / SECTOR, 0], 0);
  const blocks = Buffer.alloc(204);
  blocks.write('mish', 0, 'latin1');
  blocks.writeUInt32BE(1, 4);
  blocks.writeBigUInt64BE(BigInt(disk.length / SECTOR), 16);
  blocks.writeUInt32BE(520, 32);
  blocks.writeUInt32BE(chunks.length, 200);
  const table = Buffer.concat([blocks, ...chunks]).toString('base64');
  const xml = Buffer.from(
    `<?xml version="1.0"?><plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key><array><dict>` +
      `<key>Data</key><data>\n${table}\n</data></dict></array></dict></dict></plist>\n`,
  );
  const trailer = Buffer.alloc(SECTOR);
  trailer.write('koly', 0, 'latin1');
  trailer.writeUInt32BE(4, 4);
  trailer.writeUInt32BE(SECTOR, 8);
  trailer.writeBigUInt64BE(BigInt(at), 32);
  trailer.writeBigUInt64BE(BigInt(at), 216);
  trailer.writeBigUInt64BE(BigInt(xml.length), 224);
  trailer.writeBigUInt64BE(BigInt(disk.length / SECTOR), 492);
  return Buffer.concat([...data, xml, trailer]);
}

function pieces(disk: Buffer): Buffer[] {
  return Array.from({ length: disk.length / EXTENT }, (_, n) => disk.subarray(n * EXTENT, (n + 1) * EXTENT));
}

function wholeSectors(parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & (SECTOR - 1))]);
}
