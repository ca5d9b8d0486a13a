import { constants, type BigIntStats } from 'node:fs';
import { open, stat, unlink, type FileHandle } from 'node:fs/promises';
import { spaceOf } from '../../domain/host/filesystem-info.js';
import type { ByteSource, Files, InPlace, OpenFile } from '../../domain/ports/images.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { asked, callsOf, enteredCallsOf, inTime, slowly, toItsEnd } from '../gates/handles.js';
import { lengthOf } from '../linux/lengths.js';
import { FolderSync } from './folder-sync.js';
import { newRoomOf } from './new-room.js';
import { commitWritten, countsLate } from '../linux/unwritten-space.js';
import type { ByteRange } from '../../domain/ports/changes.js';
import { assertNotCovered } from '../paths/covered.js';
import { clearSetId } from '../linux/set-id.js';
import { countsOf, sizesOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';
import type { AddressedFile, FileRef, Fingerprint, Handle, Resolved } from '../../domain/ports/handles.js';
import type { NotDurable, ResolvedTarget } from '../../domain/ports/targets.js';

/**
 * Headers are read into slices of shared blocks: a separate block for each read would produce as
 * much garbage.
 */
const [BLOCK_BYTES, MOST_PART_BYTES] = [128 * 1024, 8 * 1024];
let block = { bytes: Buffer.alloc(0), used: 0 };

/** A buffer with undefined content. */
function bufferOf(length: number): Buffer {
  if (length > MOST_PART_BYTES) return Buffer.allocUnsafe(length);
  if (block.used + length > block.bytes.length) block = { bytes: Buffer.allocUnsafe(BLOCK_BYTES), used: 0 };
  block.used += length;
  return block.bytes.subarray(block.used - length, block.used);
}

/** Reading and removing files through handles. */
export class LocalFiles implements Files {
  constructor(private readonly folderSync = new FolderSync()) {}

  async withBytes<T>(resolved: AddressedFile, use: (bytes: ByteSource) => Promise<T>): Promise<T> {
    const calls = callsOf(resolved.handle);
    try {
      // The handle names the file itself. O_NONBLOCK: do not wait when another process holds a
      // lease on it.
      const file = await calls.open(procPath(resolved), constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const lengthBytes = await lengthOf(await calls.stat(file));
        return await use({
          lengthBytes,
          async read(offset, length) {
            if (offset >= lengthBytes) return Buffer.alloc(0);
            const left = lengthBytes - offset;
            const buffer = bufferOf(left < BigInt(length) ? Number(left) : length);
            // Node 20 takes the position 0n for "read from the current position".
            const position = offset <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(offset) : offset;
            return buffer.subarray(0, await calls.read(file, buffer, position));
          },
        });
      } finally {
        await calls.close(file);
      }
    } catch (error) {
      throw systemError(error, resolved.address);
    }
  }

  async remove(target: ResolvedTarget): Promise<NotDurable | undefined> {
    const { address, directory } = target;
    try {
      return await toItsEnd(directory, () => this.#remove(target));
    } catch (error) {
      throw systemError(error, address);
    }
  }

  async #remove({ address, directory, name }: ResolvedTarget): Promise<NotDurable | undefined> {
    const folder = await this.folderSync.open(directory);
    try {
      await unlink(procPath({ handle: directory, name }));
      return await this.folderSync.sync(folder, address);
    } finally {
      await folder.close();
    }
  }

  async refresh(file: Resolved): Promise<Resolved> {
    const now = await statOf(file, file.address);
    const changed = file.changeTimeNs === undefined ? {} : { changeTimeNs: now.ctimeNs };
    return { ...file, ...sizesOf(now), modifyTimeNs: now.mtimeNs, ...changed };
  }

  async fingerprint(file: FileRef): Promise<Fingerprint> {
    const { dev, ino, size, mtimeNs, ctimeNs } = await statOf(file, 'a file that is read');
    return { device: dev, inode: ino, lengthBytes: size, modifyTimeNs: mtimeNs, changeTimeNs: ctimeNs };
  }

  sync(resolved: Resolved): Promise<void> {
    return withFile(resolved, constants.O_RDONLY, (file) => file.sync());
  }

  async openForChange(resolved: Resolved): Promise<OpenFile> {
    const failWith = (error: unknown): never => {
      throw systemError(error, resolved.address);
    };
    const { handle } = resolved;
    const file = await asked(
      handle,
      () => openedForChange(resolved),
      (late) => late.close(),
    ).catch(failWith);
    return {
      sync: () => slowly(handle, () => file.sync()).catch(failWith),
      close: () => slowly(handle, () => file.close()).catch(failWith),
    };
  }

  async allocatedBytes(file: FileRef): Promise<bigint> {
    try {
      const found = await asked(file.handle, () => stat(procPath(file), { bigint: true }));
      return sizesOf(found).allocatedBytes;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return 0n;
      throw systemError(error, 'a file that is being made');
    }
  }

  async newRoom(file: InPlace, range: ByteRange): Promise<bigint> {
    try {
      return await asked(file.handle, () => Promise.resolve(newRoomOf(file, range)));
    } catch (error) {
      throw systemError(error, file.address);
    }
  }

  async freeBytes(directory: Handle): Promise<bigint> {
    try {
      const ask = () =>
        inTime(directory, async () => enteredCallsOf(directory).statfs(procPath({ handle: directory })));
      const counts = await ask();
      const { freeBytes } = spaceOf(countsOf(counts));
      if (!countsLate(counts.type, freeBytes)) return freeBytes;
      await asked(directory, () => commitWritten(directory));
      return spaceOf(countsOf(await ask())).freeBytes;
    } catch (error) {
      throw systemError(error, 'the filesystem cannot be asked for its space');
    }
  }
}

async function statOf(file: FileRef, what: string): Promise<BigIntStats> {
  try {
    return await asked(file.handle, () => stat(procPath(file), { bigint: true }));
  } catch (error) {
    throw systemError(error, what);
  }
}

/** Opens the file for a change and clears its set-id bits. */
async function openedForChange(resolved: Resolved): Promise<FileHandle> {
  // Data written beneath a mount point would be hidden by the mount.
  await assertNotCovered(resolved.handle);
  const file = await open(procPath(resolved), constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    await clearSetId(file, (await file.stat()).mode);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function withFile(resolved: Resolved, flags: number, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const opened = async () => {
    const file = await open(procPath(resolved), flags | constants.O_NONBLOCK);
    try {
      await use(file);
    } finally {
      await file.close();
    }
  };
  try {
    await slowly(resolved.handle, opened);
  } catch (error) {
    throw systemError(error, resolved.address);
  }
}
