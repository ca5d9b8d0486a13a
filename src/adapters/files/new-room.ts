import { closeSync, constants, openSync, statfsSync } from 'node:fs';
import { callsOf } from '../gates/handles.js';
import { SYNC } from '../gates/file-calls.js';
import { errnoOf } from '../linux/errno.js';
import { ExtentMap } from '../linux/extent-map.js';
import { procPath } from '../linux/proc-path.js';
import type { InPlace } from '../../domain/ports/images.js';
import type { ByteRange } from '../../domain/ports/changes.js';

/** tmpfs shares no blocks between files and has no FIEMAP. */
const TMPFS = 0x01021994;
const map = ExtentMap.load();

/**
 * How many bytes of a range need new space when they are written; the whole range if that is
 * unknown. Fails with a system error.
 */
export function newRoomOf(file: InPlace, { offsetBytes, lengthBytes }: ByteRange): bigint {
  // A file server that does not answer would block the main thread.
  if (callsOf(file.handle) !== SYNC) return lengthBytes;
  const fd = openToWrite(file);
  if (fd === undefined) return lengthBytes;
  try {
    const own = map?.ownBytes(fd, offsetBytes, offsetBytes + lengthBytes) ?? ownWithoutMap(file, offsetBytes);
    return own < lengthBytes ? lengthBytes - own : 0n;
  } finally {
    closeSync(fd);
  }
}

/** Opens the file for writing, which the write needs anyway. */
function openToWrite(file: InPlace): number | undefined {
  try {
    return openSync(procPath(file), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

/** For a file without an extent map the position of its holes is unknown. */
function ownWithoutMap(file: InPlace, offsetBytes: bigint): bigint {
  if (statfsSync(procPath({ handle: file.handle })).type !== TMPFS) return 0n;
  if (file.allocatedBytes < file.lengthBytes || file.lengthBytes < offsetBytes) return 0n;
  return file.lengthBytes - offsetBytes;
}
