/** Where headers have their numbers, and what has to be right before anybody looks at them. */
import { crc32 } from 'node:zlib';
import { crc32c } from '../../../src/domain/formats/crc32c.js';

interface Structure {
  /** Offsets of big-endian (`>`) or little-endian (`<`) numbers, by width in bytes. */
  readonly fields: readonly (readonly [offset: number, width: 4 | 8, order: '<' | '>'])[];
  /** Puts checksums right. */
  readonly mend?: (content: Buffer) => void;
}

const at = (order: '<' | '>', width: 4 | 8, ...offsets: number[]) =>
  offsets.map((offset) => [offset, width, order] as const);

/** By the first word of a seed's name. */
const STRUCTURES: Readonly<Record<string, Structure>> = {
  qcow2: {
    fields: [...at('>', 4, 16, 20, 32, 36, 56, 60, 96, 100, 104, 108), ...at('>', 8, 8, 24, 40, 48, 64, 72, 80)],
  },
  qcow: { fields: [...at('>', 4, 16, 36), ...at('>', 8, 8, 24, 40)] },
  qed: { fields: [...at('<', 4, 4, 8, 12, 56, 60), ...at('<', 8, 16, 24, 32, 40, 48)] },
  vdi: { fields: [...at('<', 4, 0x44, 0x154, 0x158, 0x168, 0x178, 0x180), ...at('<', 8, 0x170)] },
  vmdk: { fields: [...at('<', 4, 4, 8, 16, 44), ...at('<', 8, 12, 20, 28, 36, 48, 56)] },
  vpc: { fields: [...at('>', 4, 60, 512 + 28, 512 + 32), ...at('>', 8, 16, 40, 48, 512 + 16)], mend: mendVpc },
  vhdx: {
    fields: [65536, 131072, 196608, 262144, 1 << 20].flatMap((from) =>
      at('<', 4, ...Array.from({ length: 24 }, (_, n) => from + 8 + n * 4)),
    ),
    mend: mendVhdx,
  },
  parallels: { fields: [...at('<', 4, 16, 28, 32, 44), ...at('<', 8, 36)] },
  luks: { fields: [...at('>', 4, 104), ...at('>', 8, 8)] },
  bochs: { fields: [...at('<', 4, 64), ...at('<', 8, 84, 88)] },
  cloop: { fields: at('>', 4, 128, 132) },
  dmg: { fields: at('>', 8, 512 + 492) },
  gpt: {
    fields: [...at('<', 4, 454, 458, 524, 592, 596), ...at('<', 8, 536, 544, 552, 560, 584)],
    mend: mendGpt,
  },
  mbr: { fields: at('<', 4, 454, 458, 470, 474) },
};

/**
 * A copy with a few numbers of its header changed to what breaks programs, and with the right
 * checksums.
 */
export function distort(name: string, content: Buffer, random: () => number): Buffer {
  const structure = STRUCTURES[name.split(/[ ,]/)[0] ?? ''];
  if (structure === undefined) throw new Error(`nothing is known of the structure of ${name}`);
  const changed = Buffer.from(content);
  for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--) {
    const [offset, width, order] = structure.fields[Math.floor(random() * structure.fields.length)] ?? [0, 4, '<'];
    if (offset + width > changed.length) continue;
    const value = BigInt.asUintN(width * 8, breaking(random, changed.length));
    if (width === 4) changed[order === '<' ? 'writeUInt32LE' : 'writeUInt32BE'](Number(value), offset);
    else changed[order === '<' ? 'writeBigUInt64LE' : 'writeBigUInt64BE'](value, offset);
  }
  structure.mend?.(changed);
  return changed;
}

/** Puts the checksums of a header right that was changed. */
export function mendHeader(format: string, content: Buffer): void {
  STRUCTURES[format]?.mend?.(content);
}

/** Powers of two and their neighbours, small numbers, and those around the file's length. */
function breaking(random: () => number, length: number): bigint {
  const kind = Math.floor(random() * 4);
  if (kind === 0) return BigInt(Math.floor(random() * 32));
  if (kind === 1) return BigInt(length) + BigInt(Math.floor(random() * 1025) - 512);
  return (1n << BigInt(Math.floor(random() * 65))) + BigInt(Math.floor(random() * 3) - 1);
}

/** The first footer, and the one at the end. */
function mendVpc(content: Buffer): void {
  for (const from of [0, content.length - 512]) {
    if (from < 0 || content.toString('latin1', from, from + 8) !== 'conectix') continue;
    content.writeUInt32BE(0, from + 64);
    const sum = content.subarray(from, from + 512).reduce((total, byte) => total + byte, 0);
    content.writeUInt32BE(~sum >>> 0, from + 64);
  }
}

function mendVhdx(content: Buffer): void {
  for (const [from, length] of [
    [65536, 4096],
    [131072, 4096],
    [196608, 65536],
    [262144, 65536],
  ] as const) {
    if (from + length > content.length) continue;
    content.writeUInt32LE(0, from + 4);
    content.writeUInt32LE(crc32c(content.subarray(from, from + length)), from + 4);
  }
}

function mendGpt(content: Buffer): void {
  const headerBytes = Math.min(512, content.readUInt32LE(512 + 12));
  content.writeUInt32LE(0, 512 + 16);
  content.writeUInt32LE(crc32(content.subarray(512, 512 + headerBytes)), 512 + 16);
}
