import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { ImageAddress } from '../domain/address.js';
import type { Entry, FileRef } from '../domain/ports.js';
import type { FileDigest, FileReader, FileWriter, Transfers } from '../domain/transfer/ports.js';
import type { ChecksumAlgorithm } from '../domain/transfer/running-digest.js';
import { systemError } from './errno.js';
import { ThreadedDigest } from './file-digest.js';
import { GuardedFile } from './guarded-file.js';
import { procPath } from './handles.js';

const NEW_FILE_MODE = 0o600;
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

/** Opens what bytes are moved into or out of. */
export class LocalTransfers implements Transfers {
  reader(file: Entry): Promise<FileReader> {
    return GuardedFile.open(file, O_RDONLY | O_NONBLOCK);
  }

  async writer(part: FileRef, address: ImageAddress): Promise<FileWriter> {
    try {
      return new PartFile(await open(procPath(part), O_RDWR | O_CREAT | O_NOFOLLOW, NEW_FILE_MODE), address);
    } catch (error) {
      throw systemError(error, address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }

  async digest(part: FileRef, address: ImageAddress, algorithm: ChecksumAlgorithm): Promise<FileDigest> {
    try {
      return new ThreadedDigest(await open(procPath(part), O_RDONLY | O_NOFOLLOW), address, algorithm);
    } catch (error) {
      throw systemError(error, address);
    }
  }
}

/** So many bytes are made durable beside what goes on; the rest of them at the end would be waited for. */
const SYNC_BYTES = 64 * 1024 * 1024;

class PartFile implements FileWriter {
  #unsyncedBytes = 0;
  /** Under way; resolved with what it failed with. */
  #syncing: Promise<unknown> | undefined;
  /** A system tells of a write that failed only once. */
  #failure: Error | undefined;

  constructor(
    private readonly file: FileHandle,
    private readonly address: ImageAddress,
  ) {}

  write(data: Uint8Array, position: bigint): Promise<void> {
    return this.#call(async () => {
      for (let done = 0; done < data.length;)
        done += (await this.file.write(data, done, data.length - done, Number(position) + done)).bytesWritten;
      this.#unsyncedBytes += data.length;
      if (this.#unsyncedBytes >= SYNC_BYTES) this.#syncBeside();
    });
  }

  read(position: bigint, length: number): Promise<Uint8Array> {
    return this.#call(async () => {
      const { buffer, bytesRead } = await this.file.read(Buffer.allocUnsafe(length), 0, length, Number(position));
      return buffer.subarray(0, bytesRead);
    });
  }

  sync(): Promise<void> {
    return this.#call(async () => {
      await this.#syncing;
      this.#unsyncedBytes = 0;
      await this.file.datasync();
      if (this.#failure !== undefined) throw this.#failure;
    });
  }

  close(): Promise<void> {
    return this.#call(async () => {
      await this.#syncing;
      await this.file.close();
    });
  }

  #syncBeside(): void {
    if (this.#syncing !== undefined) return;
    this.#unsyncedBytes = 0;
    this.#syncing = this.file
      .datasync()
      .catch((error: unknown) => {
        this.#failure ??= systemError(error, this.address);
      })
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw systemError(error, this.address);
    }
  }
}
