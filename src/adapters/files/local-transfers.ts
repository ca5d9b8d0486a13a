import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { ImageAddress } from '../../domain/model/address.js';
import type { EarlyDisk, FileDigest, FileReader, FileWriter, Transfers } from '../../domain/ports/transfers.js';
import { ThreadedDigest } from '../../file-io/file-digest.js';
import { closeAll } from '../linux/close-all.js';
import { systemError } from '../linux/errno.js';
import { hintExtentSize } from '../linux/extent-size.js';
import { EarlyDiskThread } from './early-disk.js';
import { GuardedFile, guardOf } from './guarded-file.js';
import type { ChecksumAlgorithm } from '../../domain/model/checksum.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry, FileRef } from '../../domain/ports/handles.js';

const NEW_FILE_MODE = 0o600;
const EXTENT_BYTES = 1 << 20;
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC } = constants;

/** Opens the sources and targets of transfers. */
export class LocalTransfers implements Transfers {
  reader(file: Entry): Promise<FileReader> {
    return GuardedFile.open(file, O_RDONLY | O_NONBLOCK);
  }

  writer(part: FileRef, address: ImageAddress): Promise<FileWriter> {
    return GuardedFile.make(part, address, O_RDWR | O_CREAT | O_NOFOLLOW, NEW_FILE_MODE);
  }

  async digest(part: FileRef, address: ImageAddress, algorithm: ChecksumAlgorithm): Promise<FileDigest> {
    try {
      const { inTime } = guardOf(part, address);
      const file = await inTime(
        () => open(procPath(part), O_RDONLY | O_NOFOLLOW),
        (late) => late.close(),
      );
      // The writer of the file gets the same error from its own calls.
      const letGo = (closed: Promise<void>) => inTime(() => closed).catch(() => undefined);
      return new ThreadedDigest(file, { algorithm, wrapError: (error) => systemError(error, address), letGo, inTime });
    } catch (error) {
      throw systemError(error, address);
    }
  }

  async earlyDisk(
    file: FileRef,
    disk: FileRef,
    address: ImageAddress,
    room: (bytes: bigint) => Promise<void>,
  ): Promise<EarlyDisk> {
    const { inTime } = guardOf(file, address);
    const opened = (ref: FileRef, flags: number) =>
      inTime(
        () => open(procPath(ref), flags | O_NOFOLLOW, NEW_FILE_MODE),
        (late) => late.close(),
      );
    const files: FileHandle[] = [];
    try {
      const from = await opened(file, O_RDONLY | O_CREAT);
      files.push(from);
      const to = await opened(disk, O_RDWR | O_CREAT | O_TRUNC);
      files.push(to);
      // As qemu-img asks for, so that the disk is not scattered.
      await inTime(() => hintExtentSize(to.fd, EXTENT_BYTES));
      // The writer of the file that arrives gets the same error from its own calls.
      const letGo = (closed: Promise<void>) => inTime(() => closed).catch(() => undefined);
      return new EarlyDiskThread({ from, to, room, letGo, look: () => inTime(() => to.stat()) });
    } catch (error) {
      await closeAll(files);
      throw systemError(error, address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }

  async follow(entry: Entry, algorithm: ChecksumAlgorithm, start: bigint): Promise<FileDigest> {
    const wrapError = (error: unknown) => systemError(error, entry.address);
    try {
      const file = await entry.inTime(
        () => open(procPath(entry), O_RDONLY | O_NONBLOCK),
        (late) => late.close(),
      );
      // The concurrent read has already failed because the filesystem does not answer.
      const letGo = (closed: Promise<void>) => entry.inTime(() => closed).catch(() => undefined);
      return new ThreadedDigest(file, { algorithm, start, wrapError, letGo, inTime: (read) => entry.inTime(read) });
    } catch (error) {
      throw wrapError(error);
    }
  }
}
