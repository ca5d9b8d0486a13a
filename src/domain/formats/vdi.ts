/** Reads VDI headers. The source of every rule is block/vdi.c of qemu. */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { roundUp, SECTOR_BYTES } from '../model/size.js';
import { imageFacts, malformed, readExactly, tableFindings, units } from './facts.js';

const HEADER_BYTES = 512;
const VERSION = 0x00010001;
const BLOCK_BYTES = 1 << 20;
/** Size of an entry of the block map. */
const ENTRY_BYTES = 4n;
const MAX_BLOCKS = 0x1fffffff;
const UUID_BYTES = 16;
const [LINK_OFFSET, PARENT_OFFSET] = [0x1a8, 0x1b8];

/**
 * Facts of a VirtualBox disk (version 1.1), with the limits of qemu's block/vdi.c. Fails with
 * IMAGE_MALFORMED.
 */
export async function readVdi(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, HEADER_BYTES, 'vdi');
  const [mapOffset, dataOffset, blocks] = [
    head.readUInt32LE(0x154),
    head.readUInt32LE(0x158),
    head.readUInt32LE(0x180),
  ];
  const size = roundUp(head.readBigUInt64LE(0x170), SECTOR_BYTES);
  const checks: [boolean, string][] = [
    [head.readUInt32LE(0x44) === VERSION, 'the version is not 1.1'],
    [mapOffset % 512 === 0 && dataOffset % 512 === 0, 'a table does not begin at a sector'],
    [head.readUInt32LE(0x168) === 512, 'the sector size is not 512'],
    [head.readUInt32LE(0x178) === BLOCK_BYTES, 'the block size is not 1 MiB'],
    [blocks <= MAX_BLOCKS, 'it has too many blocks'],
    [size <= BigInt(blocks) * BigInt(BLOCK_BYTES), 'the virtual size is beyond its blocks'],
  ];
  const wrong = checks.find(([holds]) => !holds);
  if (wrong !== undefined) throw malformed('vdi', wrong[1]);
  const linked = [LINK_OFFSET, PARENT_OFFSET].some((offset) =>
    head.subarray(offset, offset + UUID_BYTES).some((byte) => byte !== 0),
  );
  return imageFacts('vdi', size, {
    clusterSizeBytes: BigInt(BLOCK_BYTES),
    findings: [
      ...(linked ? [{ reason: 'NAMES_OTHER_FILES', message: 'it is a difference to another VDI' } as const] : []),
      ...tableFindings(bytes, {
        what: 'block map',
        offset: BigInt(mapOffset),
        lengthBytes: BigInt(blocks) * ENTRY_BYTES,
        neededBytes: units(size, BigInt(BLOCK_BYTES)) * ENTRY_BYTES,
      }),
    ],
  });
}
