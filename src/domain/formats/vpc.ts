/**
 * Reads VHD ("vpc") footers. The source of every rule is block/vpc.c of qemu and Microsoft's VHD
 * specification 1.0.
 */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import {
  imageFacts,
  isPowerOfTwo,
  malformed,
  readExactly,
  sectors,
  sizeFindings,
  tableFindings,
  units,
} from './facts.js';

const FOOTER_BYTES = 512;
const COOKIE = 'conectix';
const DYNAMIC_COOKIE = 'cxsparse';
const [FIXED, DIFFERENCING] = [2, 4];
/** Size of an entry of the block table. */
const ENTRY_BYTES = 4n;
const [TYPE_OFFSET, CHECKSUM_OFFSET] = [60, 64];
const LUKS_MARK = Buffer.from('4c554b53babe', 'hex');
const ENDS_WITH_ANOTHER =
  'its footer is that of a disk of another length: declared raw, it is a disk that ends with the file of a VHD';
/** The maximum geometry: the disk is larger than cylinders, heads and sectors can express. */
const MAX_GEOMETRY = 65535n * 16n * 255n;
/** qemu and Microsoft open no larger disk: 2040 GiB. */
const MAX_SECTORS = 0xff000000n;
/**
 * Some programs create the block table for the largest disk, such as XenServer's `vhd-util create
 * -S`.
 */
const LARGEST_DISK = sectors(MAX_SECTORS);
/**
 * Creators whose disk has the size of its geometry: Virtual PC, and qemu without `force_size`. All
 * others use the size field, such as Hyper-V, Azure, VirtualBox, XenServer; qemu knows some of them
 * by name, and needs an option for the rest.
 */
const BY_GEOMETRY = ['vpc ', 'qemu'];
/**
 * Creators whose size field qemu uses without an option (`vpc_open`; the list of 7.2, later ones
 * are longer).
 */
const BY_FIELD_UNTOLD = ['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS'];

/**
 * Facts of a VHD, from the footer at its end or, for a dynamic disk, the copy at its start. Fails
 * with IMAGE_MALFORMED.
 */
export async function readVpc(bytes: ByteSource): Promise<ImageFacts> {
  const first = await bytes.read(0n, FOOTER_BYTES);
  const isFixed = await isFixedVhd(bytes);
  const marked = first.length === FOOTER_BYTES && first.toString('latin1', 0, 8) === COOKIE;
  const atStart = marked && !isFixed;
  const footer = atStart ? first : await lastFooter(bytes);
  const type = footer.readUInt32BE(TYPE_OFFSET);
  if (!atStart && type !== FIXED) throw malformed('vpc', 'only a fixed disk has its footer at the end alone');
  // qemu does not check the type of a footer at the start.
  if (atStart && type === FIXED) throw malformed('vpc', 'a fixed disk has no footer at its start');
  if (!atStart && bytes.lengthBytes % 512n !== 0n) throw malformed('vpc', 'the footer does not begin at a sector');
  if (checksum(footer) !== footer.readUInt32BE(CHECKSUM_OFFSET)) throw malformed('vpc', 'the checksum is wrong');
  const { size, ...facts } = virtualSize(footer);
  if (type === FIXED) {
    const tooLarge = sizeFindings(size, bytes.lengthBytes - BigInt(FOOTER_BYTES));
    const isShort = !isFixed && tooLarge.length === 0;
    return imageFacts('vpc', size, {
      ...facts,
      // Without an option qemu takes the guest's first sector for a footer.
      ...(marked ? { untoldSizeBytes: 0n } : {}),
      subformat: 'fixed',
      ...(first.subarray(0, LUKS_MARK.length).equals(LUKS_MARK) ? { holdsLuks: true } : {}),
      findings: [
        ...tooLarge,
        ...(isShort ? [{ reason: 'SEVERAL_FORMATS', message: ENDS_WITH_ANOTHER } as const] : []),
        ...(marked ? [{ reason: 'SEVERAL_FORMATS', message: 'its first sector has the mark of a VHD' } as const] : []),
      ],
    });
  }
  const header = await readExactly(bytes, footer.readBigUInt64BE(16), FOOTER_BYTES, 'vpc');
  if (header.toString('latin1', 0, 8) !== DYNAMIC_COOKIE) throw malformed('vpc', 'the dynamic header is missing');
  const [entries, blockBytes] = [header.readUInt32BE(28), header.readUInt32BE(32)];
  if (!isPowerOfTwo(blockBytes) || blockBytes < 512) throw malformed('vpc', `the block size is ${String(blockBytes)}`);
  if (BigInt(entries) * BigInt(blockBytes) < size) throw malformed('vpc', 'the block table is too small for the disk');
  return imageFacts('vpc', size, {
    ...facts,
    subformat: 'dynamic',
    clusterSizeBytes: BigInt(blockBytes),
    findings: [
      ...(type === DIFFERENCING
        ? [{ reason: 'NAMES_OTHER_FILES', message: 'it is a difference to another VHD' } as const]
        : []),
      ...tableFindings(bytes, {
        what: 'block table',
        offset: header.readBigUInt64BE(16),
        lengthBytes: BigInt(entries) * ENTRY_BYTES,
        neededBytes: units(LARGEST_DISK, BigInt(blockBytes)) * ENTRY_BYTES,
      }),
    ],
  });
}

/**
 * Whether it is a disk followed by the footer of a fixed VHD. A guest can write the disk but not
 * the footer, so the first sector does not matter. No program writes the same footer at the start
 * as well.
 */
export async function isFixedVhd(bytes: ByteSource): Promise<boolean> {
  if (!(await endsAsFixedVhd(bytes))) return false;
  const footer = await lastFooter(bytes);
  return (
    checksum(footer) === footer.readUInt32BE(CHECKSUM_OFFSET) && !footer.equals(await bytes.read(0n, FOOTER_BYTES))
  );
}

/**
 * Whether the last sector is the footer of a fixed VHD and everything before it is that disk: by
 * the size field or the geometry, up to a cylinder, to which some programs round.
 */
export async function endsAsFixedVhd(bytes: ByteSource): Promise<boolean> {
  const diskBytes = bytes.lengthBytes - BigInt(FOOTER_BYTES);
  if (diskBytes < 0n || diskBytes % 512n !== 0n) return false;
  const footer = await bytes.read(diskBytes, FOOTER_BYTES);
  if (footer.toString('latin1', 0, 8) !== COOKIE || footer.readUInt32BE(TYPE_OFFSET) !== FIXED) return false;
  const geometry = geometryOf(footer);
  const cylinder = [0n, MAX_GEOMETRY].includes(geometry) ? 1 : footer.readUInt8(58) * footer.readUInt8(59);
  return [footer.readBigUInt64BE(48), sectors(geometry)].some(
    (size) => size <= diskBytes && diskBytes - size < sectors(cylinder),
  );
}

async function lastFooter(bytes: ByteSource): Promise<Buffer> {
  if (bytes.lengthBytes < BigInt(FOOTER_BYTES)) throw malformed('vpc', 'the file is shorter than the footer');
  const footer = await readExactly(bytes, bytes.lengthBytes - BigInt(FOOTER_BYTES), FOOTER_BYTES, 'vpc');
  if (footer.toString('latin1', 0, 8) !== COOKIE) throw malformed('vpc', 'the footer is missing');
  return footer;
}

interface VhdSize extends Pick<ImageFacts, 'untoldSizeBytes'> {
  readonly size: bigint;
  readonly vhdSizeFrom: 'chs' | 'current_size';
}

/** A geometry that is empty, or at its maximum, does not give a size. */
function virtualSize(footer: Buffer): VhdSize {
  const geometry = geometryOf(footer);
  const creator = footer.toString('latin1', 28, 32);
  const field = footer.readBigUInt64BE(48) / 512n;
  const byGeometry = BY_GEOMETRY.includes(creator) && ![0n, MAX_GEOMETRY].includes(geometry);
  const count = byGeometry ? geometry : field;
  if (count > MAX_SECTORS) throw malformed('vpc', 'the virtual size is beyond 2040 GiB');
  const untold = BY_FIELD_UNTOLD.includes(creator) || geometry === MAX_GEOMETRY ? field : geometry;
  return {
    size: sectors(count),
    vhdSizeFrom: byGeometry ? 'chs' : 'current_size',
    ...(untold === count ? {} : { untoldSizeBytes: sectors(untold) }),
  };
}

/** In sectors. */
function geometryOf(footer: Buffer): bigint {
  return BigInt(footer.readUInt16BE(56)) * BigInt(footer.readUInt8(58)) * BigInt(footer.readUInt8(59));
}

/** The one's complement of the sum of all bytes except the checksum itself. */
function checksum(footer: Buffer): number {
  const sum = footer.reduce(
    (total, byte, offset) => (offset >= CHECKSUM_OFFSET && offset < CHECKSUM_OFFSET + 4 ? total : total + byte),
    0,
  );
  return ~sum >>> 0;
}
