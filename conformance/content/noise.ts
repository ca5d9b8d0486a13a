/** Content of disks. */
import { createCipheriv, createHash } from 'node:crypto';

export const KIB = 1024;
export const MIB = 1024 * KIB;

const BLOCK_BYTES = 4 * MIB;

/** Bytes that no compression makes smaller, the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const key = createHash('sha256').update(String(seed)).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** The digest `sha256-4m-blocks`, as DigestImage defines it. */
export function blockDigest(bytes: Buffer): string {
  const outer = createHash('sha256');
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
    outer.update(
      createHash('sha256')
        .update(bytes.subarray(at, at + BLOCK_BYTES))
        .digest(),
    );
  return outer.digest('hex');
}

/** Hexadecimal. */
export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
