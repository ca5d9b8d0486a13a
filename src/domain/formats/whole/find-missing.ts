import type { ImageFormat } from '../../model/image-format.js';
import type { ByteSource } from '../../ports/images.js';
import { parallelsReach, vdiReach, vhdxReach, vpcReach } from './block-tables.js';
import { bochsReach, cloopReach } from './foreign.js';
import { qcow2Reach } from './qcow2.js';
import { MissingPlaces } from './missing-places.js';
import { qcowReach, qedReach, vmdkReach } from './two-levels.js';
import type { Missing } from '../../model/image-info.js';

/**
 * Formats whose tables say where in the file the data is. Of others only the file itself knows how
 * long it was.
 */
const FORMATS: Readonly<Partial<Record<ImageFormat, (reach: MissingPlaces) => Promise<void>>>> = {
  qcow2: qcow2Reach,
  qcow: qcowReach,
  qed: qedReach,
  vdi: vdiReach,
  vmdk: vmdkReach,
  vpc: vpcReach,
  vhdx: vhdxReach,
  parallels: parallelsReach,
  bochs: bochsReach,
  cloop: cloopReach,
};

/**
 * Whether images of the format have tables whose entries can be checked against the file's length.
 */
export function hasTables(format: ImageFormat): boolean {
  return FORMATS[format] !== undefined;
}

/**
 * What the tables of an image name and its file does not have: what was cut off. Undefined:
 * nothing. Its header has been read by the reader of its format. It reads every table, so it
 * belongs into a thread of its own, unless `spend` ends it: that hears of so many bytes of tables
 * and of compressed data before they are looked at.
 */
export async function findMissing(
  bytes: ByteSource,
  format: ImageFormat,
  spend?: (bytes: number) => void,
): Promise<Missing | undefined> {
  const reach = new MissingPlaces(bytes, spend);
  await FORMATS[format]?.(reach);
  return reach.missing;
}
