import { open, type FileHandle } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import type { Entry } from '../domain/ports.js';
import { errnoOf, systemError } from './errno.js';
import { procPath } from './handles.js';
import { clearSetId } from './set-id.js';
import { sizesOf } from './system-sizes.js';

/** An open file on a filesystem that may stop answering: every call is waited for only so long. */
export class GuardedFile {
  #pending: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly file: FileHandle,
    private readonly entry: Entry,
  ) {}

  /** Fails with ACCESS_DENIED, IO_ERROR, ROOT_STALLED. */
  static async open(entry: Entry, flags: number): Promise<GuardedFile> {
    try {
      const file = await entry.inTime(
        () => open(procPath(entry), flags),
        (late) => late.close(),
      );
      return new GuardedFile(file, entry);
    } catch (error) {
      throw systemError(error, entry.address, { ENOENT: 'FILE_NOT_FOUND' });
    }
  }

  size(): Promise<bigint> {
    return this.#call((file) => file.stat({ bigint: true })).then((stat: BigIntStats) => sizesOf(stat).lengthBytes);
  }

  /** Fewer bytes than asked for at the end. Past 2^53 only positions that fit. */
  async read(position: bigint, length: number): Promise<Buffer> {
    const { buffer, bytesRead } = await this.#call((file) =>
      // Node 20 takes the position 0n for "go on where you are".
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

  /** At the end of a file that was opened with O_APPEND, wherever that is by then. */
  async append(data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length;)
      done += (await this.#call((file) => file.write(data, done, data.length - done, null))).bytesWritten;
  }

  /** As the kernel does when somebody else than root writes. */
  async clearSetId(mode: number): Promise<void> {
    await this.#call((file) => clearSetId(file, mode));
  }

  async sync(): Promise<void> {
    await this.#call((file) => file.datasync());
  }

  /** Not waited for while a call hangs: then it happens when that comes back. */
  async close(): Promise<void> {
    const closed = this.#pending.then(
      () => this.file.close(),
      () => this.file.close(),
    );
    await this.entry
      .inTime(() => closed)
      .catch((error: unknown) => {
        // Whoever reads or writes has been told.
        if (errnoOf(error) !== undefined) throw systemError(error, this.entry.address);
      });
  }

  async #call<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    try {
      return await this.entry.inTime(() => {
        const result = work(this.file);
        this.#pending = result;
        return result;
      });
    } catch (error) {
      throw systemError(error, this.entry.address);
    }
  }
}

function numberIfSafe(position: bigint): number | bigint {
  return position <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(position) : position;
}
