import { HostlerError } from '../errors.js';
import type { ImageFormat } from '../image-format.js';
import type { ImageFacts } from '../image-info.js';
import type { ByteSource } from '../ports.js';
import { MAX_SIZE_BYTES, SECTOR_BYTES } from '../size.js';

/** qemu refuses longer names. */
const MAX_NAME_BYTES = 1023;

/** Facts of an image that has nothing but a size, and what else is known of it. */
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

export function malformed(format: ImageFormat, what: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${format}: ${what}`);
}

/** Exactly so many bytes, or IMAGE_MALFORMED. */
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

export function sectors(count: bigint | number): bigint {
  return BigInt(count) * SECTOR_BYTES;
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
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
