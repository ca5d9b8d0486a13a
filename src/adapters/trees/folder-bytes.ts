/** Folders by descriptors and names as bytes, with synchronous calls: for worker threads. */
import { constants, opendirSync } from 'node:fs';
import { bytesOf, namesAsBytes } from '../linux/names-as-bytes.js';
import { O_PATH } from '../linux/proc-path.js';

/** Opens a folder, never through a link. */
export const FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/**
 * Entries in one read; most folders have fewer, and a larger buffer would be allocated for each.
 */
const NAMES_AT_ONCE = 128;

/** A name below an open folder, as a path. */
export function below(fd: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${String(fd)}/`), name]);
}

/** Each entry of an open folder. Only a few names are in memory at a time. */
export function* entriesOf(fd: number): Generator<{ readonly name: Buffer; readonly isFolder: boolean }, void> {
  const folder = opendirSync(`/proc/self/fd/${String(fd)}`, namesAsBytes(NAMES_AT_ONCE));
  try {
    for (let entry = folder.readSync(); entry !== null; entry = folder.readSync())
      yield { name: bytesOf(entry), isFolder: entry.isDirectory() };
  } finally {
    folder.closeSync();
  }
}
