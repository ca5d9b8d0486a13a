import type { ImageFormat } from '../model/image-format.js';
import type { Finding } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { FOOTER_BYTES } from './head.js';
import { findGpt, readMbr } from './partitions.js';
import { endsAsFixedVhd, isFixedVhd } from './vpc.js';
import { isDescriptor } from './vmdk-descriptor.js';

const HEAD_BYTES = 512;

const at = (offset: number, magic: Buffer | string) => ({
  offset,
  magic: typeof magic === 'string' ? Buffer.from(magic) : magic,
});

/** Offset and mark of each container format, from the sources of qemu's drivers. */
const MARKS: readonly (readonly [ImageFormat, { offset: number; magic: Buffer }])[] = [
  ['qcow2', at(0, Buffer.from('514649fb00000002', 'hex'))],
  ['qcow2', at(0, Buffer.from('514649fb00000003', 'hex'))],
  ['qcow', at(0, Buffer.from('514649fb00000001', 'hex'))],
  ['qed', at(0, 'QED\0')],
  ['vmdk', at(0, 'KDMV')],
  ['vmdk', at(0, 'COWD')],
  ['vmdk', at(0, '# Disk DescriptorFile')],
  ['vdi', at(0x40, Buffer.from('7f10dabe', 'hex'))],
  ['vpc', at(0, 'conectix')],
  ['vhdx', at(0, 'vhdxfile')],
  ['parallels', at(0, 'WithoutFreeSpace')],
  ['parallels', at(0, 'WithouFreSpacExt')],
  ['luks', at(0, Buffer.from('4c554b53babe', 'hex'))],
  ['bochs', at(0, 'Bochs Virtual HD Image')],
  ['cloop', at(0, '#!/bin/sh\n#V2.0 Format\nmodprobe cloop')],
];

/** Formats with a mark in the last 512 bytes. */
const FOOTERS: readonly (readonly [ImageFormat, Buffer])[] = [
  ['vpc', Buffer.from('conectix')],
  ['dmg', Buffer.from('koly')],
];

/** Optical media have their mark in the first sector after the system area. */
const MEDIUM_OFFSET = 0x8001n;
const MEDIA: Readonly<Record<string, string>> = { CD001: 'iso', BEA01: 'udf' };

/**
 * The format that the content claims; `raw` if it claims none. A guest can write any mark into a
 * raw disk, and into the first sector of a fixed VHD: a declared fixed VHD is accepted as one.
 */
export async function detectFormat(bytes: ByteSource, declared?: ImageFormat): Promise<ImageFormat> {
  return (await claims(bytes, declared))[0] ?? 'raw';
}

/** Other formats that a container's bytes claim: tools may disagree about such a file. */
export async function otherMarks(bytes: ByteSource, format: ImageFormat): Promise<Finding[]> {
  const { first, last } = await marks(bytes);
  const others: string[] = [...first, ...last].filter((claim) => claim !== format);
  if (others.length > 0 && isSealedDisk(first) && format === 'vpc') return [];
  // If the mark is at the end only, the file begins with the guest's own disk.
  if (first.includes(format)) others.push(...(await contentMarks(bytes)));
  return others.length === 0
    ? []
    : [{ reason: 'SEVERAL_FORMATS', message: `it has the mark of ${others.join(' and ')} as well` }];
}

/** Marks at the beginning of a disk or medium: `iso`, `udf`, `gpt`, `mbr`. */
export async function contentMarks(bytes: ByteSource): Promise<string[]> {
  const medium = MEDIA[(await bytes.read(MEDIUM_OFFSET, 5)).toString('latin1')];
  const found = medium === undefined ? [] : [medium];
  if ((await findGpt(bytes)) !== undefined) found.push('gpt');
  else if ((await readMbr(bytes)) !== undefined) found.push('mbr');
  return found;
}

/**
 * Every container format whose mark is present, starting with the one that applies under the
 * declared format.
 */
export async function claims(bytes: ByteSource, declared?: ImageFormat): Promise<ImageFormat[]> {
  const { first, last } = await marks(bytes);
  if (!last.includes('vpc')) return [...first, ...last];
  if (declared === 'raw' && !(await endsAsFixedVhd(bytes))) return first;
  const isVhd = (declared === 'vpc' || isSealedDisk(first)) && (await isFixedVhd(bytes));
  return isVhd ? [...last, ...first] : [...first, ...last];
}

/**
 * Bytes after a LUKS disk do not belong to it: no guest can write a mark into its encrypted end.
 */
function isSealedDisk(first: readonly ImageFormat[]): boolean {
  return first.length === 1 && first[0] === 'luks';
}

async function marks(bytes: ByteSource): Promise<{ first: ImageFormat[]; last: ImageFormat[] }> {
  const head = await bytes.read(0n, HEAD_BYTES);
  const first = MARKS.filter(([, { offset, magic }]) => stands(magic, head, offset)).map(([format]) => format);
  if (!first.includes('vmdk') && isDescriptor(head)) first.push('vmdk');
  if (bytes.lengthBytes < BigInt(FOOTER_BYTES)) return { first, last: [] };
  const tail = await bytes.read(bytes.lengthBytes - BigInt(FOOTER_BYTES), FOOTER_BYTES);
  const last = FOOTERS.filter(([, magic]) => stands(magic, tail, 0)).map(([format]) => format);
  return { first, last };
}

/** The first byte is checked separately: most files have at most one mark. */
function stands(magic: Buffer, bytes: Buffer, offset: number): boolean {
  return bytes[offset] === magic[0] && bytes.subarray(offset, offset + magic.length).equals(magic);
}
