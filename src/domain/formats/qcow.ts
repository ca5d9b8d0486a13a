/** Reads qcow headers, version 1. The source of every rule is block/qcow.c of qemu. */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, malformed, readExactly, readName, sectors, tableFindings, units } from './facts.js';

const HEADER_BYTES = 48;
const [MIN_CLUSTER_BITS, MAX_CLUSTER_BITS] = [9, 16];
const [MIN_L2_BITS, MAX_L2_BITS] = [6, 13];
const NO_LIMIT = 1n << 63n;

/**
 * Facts of a qcow (version 1) image, with the limits of qemu's block/qcow.c. Fails with
 * IMAGE_MALFORMED.
 */
export async function readQcow(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, HEADER_BYTES, 'qcow');
  const [clusterBits, l2Bits, crypt] = [head.readUInt8(32), head.readUInt8(33), head.readUInt32BE(36)];
  const size = head.readBigUInt64BE(24);
  if (size <= 1n) throw malformed('qcow', 'the virtual size is too small');
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS)
    throw malformed('qcow', `cluster bits are ${String(clusterBits)}`);
  if (l2Bits < MIN_L2_BITS || l2Bits > MAX_L2_BITS) throw malformed('qcow', `L2 bits are ${String(l2Bits)}`);
  if (crypt > 1) throw malformed('qcow', `the encryption method ${String(crypt)} is unknown`);
  // qemu reads a name of length 0 too.
  if (head.readBigUInt64BE(8) > bytes.lengthBytes)
    throw malformed('qcow', 'the backing file name lies outside the file');
  const name = { offset: head.readBigUInt64BE(8), length: head.readUInt32BE(16), limit: NO_LIMIT };
  const backingFile = await readName(bytes, name, 'qcow');
  const l1Bytes = units(size, 1n << BigInt(clusterBits + l2Bits)) * 8n;
  return imageFacts('qcow', sectors(size / 512n), {
    clusterSizeBytes: 1n << BigInt(clusterBits),
    encrypted: crypt !== 0,
    ...(crypt === 0 ? {} : { oldEncryption: 'aes' }),
    ...(backingFile === undefined ? {} : { backingFile }),
    findings: [
      ...(backingFile === undefined
        ? []
        : [
            {
              reason: 'BACKING_FORMAT_MISSING',
              message: 'the header names a backing file but not its format',
            } as const,
          ]),
      ...tableFindings(bytes, {
        what: 'L1 table',
        offset: head.readBigUInt64BE(40),
        lengthBytes: l1Bytes,
        neededBytes: l1Bytes,
      }),
    ],
  });
}
