/**
 * Formats that qemu can read but that are no longer created: bochs, cloop, dmg. The source of every
 * rule is the driver in qemu's block/.
 */
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, malformed, readExactly, sectors } from './facts.js';

const TRAILER_BYTES = 512;
const BOCHS_VERSION_1 = 0x00010000;
/** qemu's drivers for these formats are reviewed least, so untrusted images in them are refused. */
const OBSOLETE: { readonly findings: readonly Finding[] } = {
  findings: [{ reason: 'OBSOLETE_FORMAT', message: 'the format is obsolete' }],
};

/** Facts of a Bochs disk, which is read only. Fails with IMAGE_MALFORMED. */
export async function readBochs(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, 512, 'bochs');
  const size = head.readBigUInt64LE(head.readUInt32LE(64) === BOCHS_VERSION_1 ? 84 : 88);
  return imageFacts('bochs', sectors(size / 512n), OBSOLETE);
}

/** Facts of a cloop image, which is read only. Fails with IMAGE_MALFORMED. */
export async function readCloop(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 128n, 8, 'cloop');
  const [blockBytes, blocks] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  if (blockBytes === 0 || blockBytes % 512 !== 0) throw malformed('cloop', `the block size is ${String(blockBytes)}`);
  return imageFacts('cloop', BigInt(blockBytes) * BigInt(blocks), OBSOLETE);
}

/** Facts of an Apple disk image, from the trailer at its end. Fails with IMAGE_MALFORMED. */
export async function readDmg(bytes: ByteSource): Promise<ImageFacts> {
  if (bytes.lengthBytes < BigInt(TRAILER_BYTES)) throw malformed('dmg', 'the file is shorter than the trailer');
  const trailer = await readExactly(bytes, bytes.lengthBytes - BigInt(TRAILER_BYTES), TRAILER_BYTES, 'dmg');
  return imageFacts('dmg', sectors(trailer.readBigUInt64BE(492)), OBSOLETE);
}
