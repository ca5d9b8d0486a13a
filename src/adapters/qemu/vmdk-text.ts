/**
 * Our own descriptor by which qemu opens a VMDK of several files: it names only the files that the
 * daemon has opened.
 */
import type { Described } from '../../domain/model/image-info.js';
import { SECTOR_BYTES } from '../../domain/model/size.js';
import type { ArgumentPart } from '../process/tool-call.js';
import type { LayerExtent } from '../../domain/ports/tools.js';

const SECTOR = Number(SECTOR_BYTES);
/** The largest grain that qemu accepts, in sectors. */
const MAX_GRAIN = 0x200000n;
/** Maximum number of grains in a table. */
const TABLE_GRAINS = 512n;
const ENTRY_BYTES = 4n;

/**
 * The text of a VMDK descriptor with one line for each extent. Names are references to open
 * descriptors, so qemu opens no other file.
 */
export function descriptorText(
  { contentId, parentContentId }: Described,
  extents: readonly LayerExtent[],
): ArgumentPart[] {
  return [
    `# Disk DescriptorFile\nversion=1\nCID=${contentId}\nparentCID=${parentContentId}\ncreateType="twoGbMaxExtentFlat"\n`,
    ...extents.flatMap(linesOf),
  ];
}

function linesOf({ kind, file, lengthBytes, offsetBytes }: LayerExtent): ArgumentPart[] {
  const sectors = lengthBytes / SECTOR_BYTES;
  if (file === undefined) return zeros(sectors);
  if (kind === 'sparse') return [`RW ${String(sectors)} SPARSE "`, { read: file }, '"\n'];
  return [`RW ${String(sectors)} FLAT "`, { read: file }, `" ${String(offsetBytes / SECTOR_BYTES)}\n`];
}

/**
 * qemu ignores extents of zeros; an empty sparse extent is equivalent. A grain must not be longer
 * than the rest of its extent.
 */
function zeros(sectors: bigint): ArgumentPart[] {
  const whole = sectors - (sectors % MAX_GRAIN);
  return [whole, sectors - whole]
    .filter((length) => length > 0n)
    .flatMap((length) => [`RW ${String(length)} SPARSE "`, { secret: emptySparse(length) }, '"\n']);
}

/** A VMDK with a header, and a directory without grain tables. */
function emptySparse(sectors: bigint): Buffer {
  const grain = sectors < MAX_GRAIN ? sectors : MAX_GRAIN;
  const span = grain * TABLE_GRAINS;
  const directoryBytes = Number(((sectors + span - 1n) / span) * ENTRY_BYTES);
  const image = Buffer.alloc(SECTOR + Math.ceil(directoryBytes / SECTOR) * SECTOR);
  image.write('KDMV');
  image.writeUInt32LE(1, 4); // version
  image.writeUInt32LE(1, 8); // the header has the end-of-line markers below
  image.writeBigUInt64LE(sectors, 12);
  image.writeBigUInt64LE(grain, 20);
  image.writeUInt32LE(Number(TABLE_GRAINS), 44);
  image.writeBigUInt64LE(1n, 56); // the sector of the directory
  image.write('\n \r\n', 73);
  return image;
}
