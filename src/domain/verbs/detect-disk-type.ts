import { asAddress, type ImageAddress } from '../model/address.js';
import { asHostlerError } from '../model/errors.js';
import type { ImageReader } from '../images/read-image.js';
import type { Resolved } from '../ports/handles.js';
import type { Paths } from '../ports/paths.js';

export interface DiskType {
  readonly type: string;
  readonly basis: 'path' | 'content';
}

/** The descriptor in a ploop image's folder. */
const PLOOP_DESCRIPTOR = 'DiskDescriptor.xml';

/**
 * The type that the beginning of a path gives; such a path need not be in a root, and is not
 * examined.
 */
export function typeByPrefix(path: string): DiskType | undefined {
  if (path.startsWith('rbd:')) return { type: 'rbd', basis: 'path' };
  return path.startsWith('/dev/') ? { type: 'lvm', basis: 'path' } : undefined;
}

/**
 * A folder with a ploop descriptor is ploop; the type of a file is by its content, which a guest
 * may have written.
 */
export async function detectDiskType(
  address: ImageAddress,
  { paths, reader }: { readonly paths: Paths; readonly reader: ImageReader },
): Promise<DiskType> {
  let file: Resolved;
  try {
    file = await paths.source(address);
  } catch (error) {
    if (asHostlerError(error).reason !== 'NOT_A_FILE' || !(await holdsPloop(address, paths))) throw error;
    return { type: 'ploop', basis: 'path' };
  }
  try {
    return { type: await reader.detect(file), basis: 'content' };
  } finally {
    await file.handle.close();
  }
}

async function holdsPloop(folder: ImageAddress, paths: Paths): Promise<boolean> {
  try {
    const descriptor = await paths.source(asAddress(`${folder}/${PLOOP_DESCRIPTOR}`));
    await descriptor.handle.close();
    return true;
  } catch (error) {
    if (['IMAGE_NOT_FOUND', 'NOT_A_FILE'].includes(asHostlerError(error).reason)) return false;
    throw error;
  }
}
