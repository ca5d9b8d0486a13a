import { open, type FileHandle } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import type { ImageAddress } from '../../domain/model/address.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { enteredCallsOf, moving, slowly } from '../gates/handles.js';
import { hasExtentSize, hintExtentSize } from '../linux/extent-size.js';
import { clearSetId } from '../linux/set-id.js';
import { sizesOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry, FileRef } from '../../domain/ports/handles.js';

/** How to call a filesystem that may stop answering. */
type Guard = Pick<Entry, 'address' | 'handle' | 'inTime'>;

/** The guard of a file that is being created: its folder's handle. */
export function guardOf({ handle }: FileRef, address: ImageAddress): Guard {
  return { address, handle, inTime: (work, dispose) => moving(handle, work, dispose) };
}

/** An open file on a filesystem that may stop answering: each call has a time limit. */
export class GuardedFile {
  #pending: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: FileHandle,
    private readonly guard: Guard,
  ) {}

  /** Fails with FILE_NOT_FOUND, ACCESS_DENIED, IO_ERROR, ROOT_STALLED. */
  static async open(entry: FileRef & Guard, flags: number): Promise<GuardedFile> {
    try {
      return await GuardedFile.#opened(entry, flags, entry);
    } catch (error) {
      throw systemError(error, entry.address, { ENOENT: 'FILE_NOT_FOUND' });
    }
  }

  /**
   * Creates a file. Fails with PARENT_NOT_FOUND, ACCESS_DENIED, IO_ERROR, NO_SPACE, ROOT_STALLED.
   */
  static async make(ref: FileRef, address: ImageAddress, flags: number, mode?: number): Promise<GuardedFile> {
    try {
      return await GuardedFile.#opened(ref, flags, guardOf(ref, address), mode);
    } catch (error) {
      throw systemError(error, address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }

  static async #opened(ref: FileRef, flags: number, guard: Guard, mode?: number): Promise<GuardedFile> {
    const file = await guard.inTime(
      () => open(procPath(ref), flags, mode),
      (late) => late.close(),
    );
    return new GuardedFile(file, guard);
  }

  size(): Promise<bigint> {
    return this.#call((file) => file.stat({ bigint: true })).then((stat: BigIntStats) => sizesOf(stat).lengthBytes);
  }

  /**
   * Returns fewer bytes than asked for at the end of the file. Positions above 2^53 are passed as
   * bigint.
   */
  async read(position: bigint, length: number): Promise<Buffer> {
    const { buffer, bytesRead } = await this.#call((file) =>
      // Node 20 takes the position 0n for "read from the current position".
      file.read({ buffer: Buffer.allocUnsafe(length), position: numberIfSafe(position) }),
    );
    return buffer.subarray(0, bytesRead);
  }

  async write(data: Uint8Array, position: bigint): Promise<void> {
    for (let done = 0; done < data.length;) {
      const at = Number(position) + done;
      done += (await this.#call((file) => file.write(data, done, data.length - done, at))).bytesWritten;
    }
  }

  /** Sets the length of the file; parts that were not written read as zeros. */
  async endAt(position: bigint): Promise<void> {
    await this.#slowly((file) => file.truncate(Number(position)));
  }

  /** Writes at the current end of a file that was opened with O_APPEND. */
  async append(data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length;)
      done += (await this.#call((file) => file.write(data, done, data.length - done, null))).bytesWritten;
  }

  /**
   * A hint for a file that is still empty: the filesystem should allocate at least this much at a
   * time, if it supports that.
   */
  async hintExtents(bytes: number): Promise<void> {
    const { handle } = this.guard;
    await this.#call(async ({ fd }) => {
      const { type } = await enteredCallsOf(handle).statfs(procPath({ handle }));
      if (hasExtentSize(type)) await hintExtentSize(fd, bytes);
    });
  }

  /** Clears the set-id bits, as the kernel does when an unprivileged process writes. */
  async clearSetId(mode: number): Promise<void> {
    await this.#call((file) => clearSetId(file, mode));
  }

  async sync(): Promise<void> {
    await this.#slowly((file) => file.datasync());
  }

  /** Does not wait while a call hangs: the file is then closed when that call returns. */
  async close(): Promise<void> {
    const closed = this.#pending.then(() => this.file.close());
    await this.guard
      .inTime(() => closed)
      .catch((error: unknown) => {
        // The pending reads and writes have failed already.
        if (errnoOf(error) !== undefined) throw systemError(error, this.guard.address);
      });
  }

  #call<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    return this.#asked(work, (begun) => this.guard.inTime(begun));
  }

  #slowly<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    return this.#asked(work, (begun) => slowly(this.guard.handle, begun));
  }

  async #asked<T>(work: (file: FileHandle) => Promise<T>, ask: (begun: () => Promise<T>) => Promise<T>): Promise<T> {
    try {
      return await ask(() => {
        const result = work(this.file);
        // Without the results: each would hold those before it, and with them what was written.
        this.#pending = Promise.allSettled([this.#pending, result]).then(() => undefined);
        return result;
      });
    } catch (error) {
      throw systemError(error, this.guard.address);
    }
  }
}

function numberIfSafe(position: bigint): number | bigint {
  return position <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(position) : position;
}
