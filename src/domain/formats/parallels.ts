/**
 * Reads Parallels headers, of both kinds. The source of every rule is block/parallels.c of qemu.
 */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, malformed, readExactly, sectors, sizeFindings, tableFindings, units } from './facts.js';

const HEADER_BYTES = 64;
/** This kind counts sectors in 32 bits; the other in 64. */
const OLD_MAGIC = 'WithoutFreeSpace';
const VERSION = 2;
const MAX_TRACKS = 0x7fffffff / 513;
const MAX_ENTRIES = 0x7fffffff / 4;
/** Size of an entry of the block table. */
const ENTRY_BYTES = 4n;
const IN_USE = 0x746f6e59;

/**
 * Facts of a Parallels disk, with the limits of qemu's block/parallels.c. Fails with
 * IMAGE_MALFORMED.
 */
export async function readParallels(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, HEADER_BYTES, 'parallels');
  const [version, tracks, entries] = [head.readUInt32LE(16), head.readUInt32LE(28), head.readUInt32LE(32)];
  if (version !== VERSION) throw malformed('parallels', `the version is ${String(version)}`);
  if (tracks === 0 || tracks > MAX_TRACKS) throw malformed('parallels', `a block has ${String(tracks)} sectors`);
  if (entries > MAX_ENTRIES) throw malformed('parallels', 'the block table is too large');
  const old = head.toString('latin1', 0, 16) === OLD_MAGIC;
  const size = sectors(old ? head.readUInt32LE(36) : head.readBigUInt64LE(36));
  const blockBytes = sectors(tracks);
  return imageFacts('parallels', size, {
    dirty: head.readUInt32LE(44) === IN_USE,
    findings: [
      ...sizeFindings(size, BigInt(entries) * blockBytes),
      ...tableFindings(bytes, {
        what: 'block table',
        offset: BigInt(HEADER_BYTES),
        lengthBytes: BigInt(entries) * ENTRY_BYTES,
        neededBytes: units(size, blockBytes) * ENTRY_BYTES,
      }),
    ],
  });
}
