import { HostlerError } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { MAX_SIZE_BYTES, SECTOR_BYTES } from '../model/size.js';

/** qemu refuses longer names. */
const MAX_NAME_BYTES = 1023;

/** Facts of an image that has only a size, merged with other known facts. */
export function imageFacts(
  format: ImageFormat,
  virtualSizeBytes: bigint,
  more: Partial<Omit<ImageFacts, 'format' | 'virtualSizeBytes'>> = {},
): ImageFacts {
  if (virtualSizeBytes > MAX_SIZE_BYTES) throw malformed(format, 'the virtual size is beyond what qemu can address');
  return {
    format,
    virtualSizeBytes,
    encrypted: false,
    dirty: false,
    corrupt: false,
    snapshots: [],
    findings: [],
    ...more,
  };
}

/** IMAGE_MALFORMED; the message begins with the format. */
export function malformed(format: ImageFormat, what: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${format}: ${what}`);
}

/** Reads exactly this many bytes. Fails with IMAGE_MALFORMED. */
export async function readExactly(
  bytes: ByteSource,
  offset: bigint,
  length: number,
  format: ImageFormat,
): Promise<Buffer> {
  const found = await bytes.read(offset, length);
  if (found.length < length)
    throw malformed(format, `the file ends within the ${String(length)} bytes at ${String(offset)}`);
  return found;
}

/** Bytes of this many 512-byte sectors. */
export function sectors(count: bigint | number): bigint {
  return BigInt(count) * SECTOR_BYTES;
}

/** Whether the value is 1, 2, 4, …; false for 0 and for negative numbers. */
export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

/** Tables up to this size never count as too large: programs round up, and leave room to grow. */
const MODEST_TABLE_BYTES = 1n << 20n;
const GENEROUS = 4n;

/** Findings about a table that ends beyond the file, or is many times as large as needed. */
export function tableFindings(
  bytes: ByteSource,
  table: { readonly what: string; readonly offset: bigint; readonly lengthBytes: bigint; readonly neededBytes: bigint },
): Finding[] {
  const { what, offset, lengthBytes, neededBytes } = table;
  const absurd = lengthBytes > MODEST_TABLE_BYTES && lengthBytes > GENEROUS * neededBytes;
  return [
    ...(offset + lengthBytes > bytes.lengthBytes
      ? [{ reason: 'TABLE_OUTSIDE_FILE', message: `the ${what} ends beyond the end of the file` } as const]
      : []),
    ...(absurd
      ? [{ reason: 'TABLE_TOO_LARGE', message: `the ${what} is far larger than the disk needs` } as const]
      : []),
  ];
}

/** Finding for a disk larger than its tables can address, or than the file that holds all of it. */
export function sizeFindings(sizeBytes: bigint, addressableBytes: bigint): Finding[] {
  return sizeBytes <= addressableBytes
    ? []
    : [
        {
          reason: 'SIZE_BEYOND_FILE',
          message: `the virtual size is ${String(sizeBytes)}, and the file can address ${String(addressableBytes)} bytes`,
        },
      ];
}

/** Number of units, rounded up. */
export function units(sizeBytes: bigint, unitBytes: bigint): bigint {
  return (sizeBytes + unitBytes - 1n) / unitBytes;
}

/** A name that a header gives by offset and length: within `limit` bytes, without NUL. */
export async function readName(
  bytes: ByteSource,
  { offset, length, limit }: { readonly offset: bigint; readonly length: number; readonly limit: bigint },
  format: ImageFormat,
): Promise<string | undefined> {
  if (offset === 0n || length === 0) return undefined;
  if (length > MAX_NAME_BYTES || offset + BigInt(length) > limit)
    throw malformed(format, 'the backing file name lies outside the header');
  const name = await readExactly(bytes, offset, length, format);
  if (name.includes(0)) throw malformed(format, 'the backing file name has a NUL');
  return name.toString('utf8');
}
