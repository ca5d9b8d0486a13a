import { roundUp, SECTOR_BYTES } from '../../model/size.js';
import type { CreateRequest } from '../../ports/tools.js';
import { emptyQcow2, type EmptyImage } from './empty-qcow2.js';

/** qemu's own choices. */
const [CLUSTER_BYTES, REFCOUNT_BITS] = [65_536n, 16];

/** More clusters of tables would hold the main thread for more than a few milliseconds. */
const MAX_TABLE_CLUSTERS = 16_384n;

/**
 * The bytes of a new image. Undefined for an image that a tool must create, such as an encrypted or
 * preallocated one or a large disk with tiny clusters, and for invalid options: the tool reports
 * what is wrong.
 */
export function emptyImage(request: CreateRequest): EmptyImage | undefined {
  const { format, preallocation, backing, passphrase, subformat } = request;
  const sizeBytes = roundUp(request.sizeBytes, SECTOR_BYTES);
  if (preallocation !== 'off' || passphrase !== undefined || subformat !== undefined) return undefined;
  if (format === 'raw') return backing === undefined ? { lengthBytes: sizeBytes, pieces: [] } : undefined;
  if (format !== 'qcow2') return undefined;
  const { compat = '1.1', clusterSizeBytes = CLUSTER_BYTES, refcountBits = REFCOUNT_BITS } = request;
  // A cluster of the L1 table leads to this much of the disk.
  const mappedBytes = clusterSizeBytes ** 3n / 64n;
  if (mappedBytes === 0n || sizeBytes / mappedBytes > MAX_TABLE_CLUSTERS) return undefined;
  return emptyQcow2({
    compat,
    sizeBytes,
    clusterBytes: Number(clusterSizeBytes),
    refcountBits,
    lazyRefcounts: request.lazyRefcounts ?? false,
    extendedL2: request.extendedL2 ?? false,
    compressionType: 'zlib',
    ...(backing === undefined ? {} : { backing: { name: backing.storedName, format: backing.format } }),
  });
}
