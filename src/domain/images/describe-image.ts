import { basePath } from './backing-name.js';
import type { ImageFacts, ImageInfo } from '../model/image-info.js';
import type { ImageLocks } from '../ports/images.js';
import type { Resolved } from '../ports/handles.js';

/** The facts from the header and the filesystem. */
export async function describeImage(file: Resolved, facts: ImageFacts, imageLocks: ImageLocks): Promise<ImageInfo> {
  const [hold] = await imageLocks.holds([file], 'shown');
  return describeFile(file, facts, hold !== 'none');
}

/** The same if it is known whether a process has the image open. */
export function describeFile(file: Resolved, facts: ImageFacts, inUse: boolean): ImageInfo {
  const { backingFile } = facts;
  return {
    ...facts,
    address: file.address,
    fileLengthBytes: file.lengthBytes,
    allocatedBytes: file.allocatedBytes,
    ...(backingFile === undefined ? {} : { fullBackingFile: fullBackingFile(file, backingFile) }),
    inUse,
  };
}

/**
 * A relative path in a header starts at the image's folder; a name that is not a path is unchanged.
 */
export function fullBackingFile(file: Resolved, backingFile: string): string {
  // A volume's parent is already an address.
  return file.storage === 'volume' ? backingFile : basePath(backingFile, file);
}
