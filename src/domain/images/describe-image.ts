import { basePath } from './backing-name.js';
import type { ImageFacts, ImageInfo } from '../model/image-info.js';
import type { ImageLocks } from '../ports/images.js';
import type { Resolved } from '../ports/handles.js';

/** What a header says, with what the filesystem says. */
export async function describeImage(file: Resolved, facts: ImageFacts, imageLocks: ImageLocks): Promise<ImageInfo> {
  const [hold] = await imageLocks.holds([file], 'shown');
  return describeFile(file, facts, hold !== 'none');
}

/** The same where it is known whether a process has it open. */
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

/** A path in a header is relative to where its image lies; what is no path stays as it is. */
export function fullBackingFile(file: Resolved, backingFile: string): string {
  // A volume's parent is an address already.
  return file.storage === 'volume' ? backingFile : basePath(backingFile, file);
}
