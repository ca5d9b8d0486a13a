import { posix } from 'node:path';
import { dirname } from './address.js';
import type { ImageFacts, ImageInfo } from './image-info.js';
import type { ImageLocks, Resolved } from './ports.js';

/** What a header says, with what the filesystem says. */
export async function describeImage(file: Resolved, facts: ImageFacts, imageLocks: ImageLocks): Promise<ImageInfo> {
  const [hold] = await imageLocks.holds([file]);
  const { backingFile } = facts;
  return {
    ...facts,
    address: file.address,
    fileLengthBytes: file.lengthBytes,
    allocatedBytes: file.allocatedBytes,
    ...(backingFile === undefined ? {} : { fullBackingFile: posix.resolve(dirname(file.storedName), backingFile) }),
    inUse: hold !== 'none',
  };
}
