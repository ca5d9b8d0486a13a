import type { ImageFormat } from '../../model/image-format.js';
import type { ByteSource } from '../../ports/images.js';
import { checkParallels, checkVdi, checkVhdx, checkVpc } from './block-tables.js';
import { checkBochs, checkCloop } from './foreign.js';
import { checkQcow2 } from './qcow2.js';
import { MissingPlaces } from './missing-places.js';
import { checkQcow, checkQed, checkVmdk } from './two-levels.js';
import type { Missing } from '../../model/image-info.js';

/**
 * Formats whose tables tell where in the file the data is. For others the original length of the
 * file cannot be known.
 */
const FORMATS: Readonly<Partial<Record<ImageFormat, (places: MissingPlaces) => Promise<void>>>> = {
  qcow2: checkQcow2,
  qcow: checkQcow,
  qed: checkQed,
  vdi: checkVdi,
  vmdk: checkVmdk,
  vpc: checkVpc,
  vhdx: checkVhdx,
  parallels: checkParallels,
  bochs: checkBochs,
  cloop: checkCloop,
};

/**
 * Whether images of the format have tables whose entries can be checked against the file's length.
 */
export function hasTables(format: ImageFormat): boolean {
  return FORMATS[format] !== undefined;
}

/**
 * The parts that the tables of an image name but its file lacks, because it was truncated.
 * Undefined: none. The header must have been read by the reader of its format. It reads every
 * table, so it belongs in a worker thread, unless `spend` ends it: `spend` gets the number of bytes
 * of tables and compressed data before they are read.
 */
export async function findMissing(
  bytes: ByteSource,
  format: ImageFormat,
  spend?: (bytes: number) => void,
): Promise<Missing | undefined> {
  const places = new MissingPlaces(bytes, spend);
  await FORMATS[format]?.(places);
  return places.missing;
}
