/**
 * Reads QED headers. The source of every rule is docs/interop/qed_spec.rst and block/qed.c of qemu.
 */
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, isPowerOfTwo, malformed, readExactly, readName, tableFindings } from './facts.js';

const HEADER_BYTES = 64;
const [MIN_CLUSTER_BYTES, MAX_CLUSTER_BYTES] = [1 << 12, 1 << 26];
const MAX_TABLE_CLUSTERS = 16;
const [BACKING_FILE, NEED_CHECK, NO_PROBE] = [1n, 2n, 4n];
const KNOWN = BACKING_FILE | NEED_CHECK | NO_PROBE;

/** Facts of a QED image, with the limits of qemu's block/qed.c. Fails with IMAGE_MALFORMED. */
export async function readQed(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, HEADER_BYTES, 'qed');
  const [clusterBytes, tableClusters, headerClusters] = [
    head.readUInt32LE(4),
    head.readUInt32LE(8),
    head.readUInt32LE(12),
  ];
  const features = head.readBigUInt64LE(16);
  const size = head.readBigUInt64LE(48);
  if (!isPowerOfTwo(clusterBytes) || clusterBytes < MIN_CLUSTER_BYTES || clusterBytes > MAX_CLUSTER_BYTES)
    throw malformed('qed', `the cluster size is ${String(clusterBytes)}`);
  if (!isPowerOfTwo(tableClusters) || tableClusters > MAX_TABLE_CLUSTERS)
    throw malformed('qed', `the table size is ${String(tableClusters)} clusters`);
  if (size % 512n !== 0n) throw malformed('qed', 'the virtual size is no multiple of 512');
  const entries = BigInt((tableClusters * clusterBytes) / 8);
  if (size > entries * entries * BigInt(clusterBytes)) throw malformed('qed', 'the virtual size is beyond the tables');
  const limit = BigInt(headerClusters) * BigInt(clusterBytes);
  const name = { offset: BigInt(head.readUInt32LE(56)), length: head.readUInt32LE(60), limit };
  const isNamed = (features & BACKING_FILE) !== 0n && name.length > 0;
  // qemu accepts any offset: at 0 the name is `QED`.
  if (isNamed && name.offset < BigInt(HEADER_BYTES)) throw malformed('qed', 'the name of its base lies in the header');
  const backingFile = isNamed ? await readName(bytes, name, 'qed') : undefined;
  const isRaw = (features & NO_PROBE) !== 0n;
  return imageFacts('qed', size, {
    clusterSizeBytes: BigInt(clusterBytes),
    dirty: (features & NEED_CHECK) !== 0n,
    ...(backingFile === undefined ? {} : { backingFile, ...(isRaw ? { backingFormat: 'raw' } : {}) }),
    findings: [
      ...findings(features, backingFile !== undefined && !isRaw),
      // The header fixes the table size, so it cannot be larger than needed.
      ...tableFindings(bytes, {
        what: 'L1 table',
        offset: head.readBigUInt64LE(40),
        lengthBytes: entries * 8n,
        neededBytes: entries * 8n,
      }),
    ],
  });
}

function findings(features: bigint, unsaid: boolean): Finding[] {
  const found: Finding[] = [];
  if ((features & ~KNOWN) !== 0n)
    found.push({
      reason: 'UNKNOWN_FEATURE',
      message: `feature bits 0x${(features & ~KNOWN).toString(16)} are unknown`,
    });
  if (unsaid)
    found.push({ reason: 'BACKING_FORMAT_MISSING', message: 'the header names a backing file but not its format' });
  return found;
}
