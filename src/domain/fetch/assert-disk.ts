import { HostlerError } from '../errors.js';
import { contentMarks } from '../formats/magic.js';
import { HEAD_BYTES, noDisk } from '../formats/no-disk/no-disk.js';
import { SECTOR_BYTES } from '../size.js';
import type { Files, Resolved } from '../ports.js';

/**
 * Raw bytes that came in the place of an image may be a disk. What is shorter than a sector is none; what nobody has declared to be raw, and
 * begins as something else, is none unless it has partitions, or the mark of an optical medium. Fails with IMAGE_MALFORMED.
 */
export async function assertDisk(file: Resolved, declared: boolean, files: Files): Promise<void> {
  const what = await files.withBytes(file, async (bytes) => {
    const head = await bytes.read(0n, HEAD_BYTES);
    const name = declared || (await contentMarks(bytes)).length > 0 ? undefined : noDisk(head, bytes.lengthBytes);
    return name ?? (bytes.lengthBytes < SECTOR_BYTES ? tooShort(bytes.lengthBytes) : undefined);
  });
  if (what === undefined) return;
  throw new HostlerError('IMAGE_MALFORMED', `${file.address}: what came is ${what}, and no disk image`, {
    facts: { path: file.address, content: what },
  });
}

function tooShort(lengthBytes: bigint): string {
  return lengthBytes === 0n ? 'nothing' : `${String(lengthBytes)} bytes, less than a sector`;
}
