/** Which VMDK files keep their data in themselves. The source of every rule is block/vmdk.c of qemu. */
import type { Finding } from '../image-info.js';
import type { ByteSource } from '../ports.js';

const HEADER_BYTES = 512;
const SPARSE_MAGIC = 'KDMV';
const CAPACITY_OFFSET = 12;

/**
 * What makes a VMDK reach for other files: a text descriptor names its extents, and a sparse header without capacity sends qemu
 * to the descriptor inside the file. Only a hosted sparse extent with a capacity of its own is read from itself alone.
 */
export async function vmdkFindings(bytes: ByteSource): Promise<Finding[]> {
  const head = await bytes.read(0n, HEADER_BYTES);
  const lone =
    head.length === HEADER_BYTES &&
    head.toString('latin1', 0, 4) === SPARSE_MAGIC &&
    head.readBigUInt64LE(CAPACITY_OFFSET) > 0n;
  return lone
    ? []
    : [{ reason: 'NAMES_OTHER_FILES', message: 'the VMDK is a descriptor that names the files with its data' }];
}
