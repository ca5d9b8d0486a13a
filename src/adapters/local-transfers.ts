import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { ImageAddress } from '../domain/address.js';
import type { Entry, FileRef } from '../domain/ports.js';
import type { FileDigest, FileReader, FileWriter, Transfers } from '../domain/transfer/ports.js';
import type { ChecksumAlgorithm } from '../domain/transfer/running-digest.js';
import { ThreadedDigest } from '../file-io/file-digest.js';
import { systemError } from './errno.js';
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
      const file = await open(procPath(part), O_RDONLY | O_NOFOLLOW);
      return new ThreadedDigest(file, { algorithm, told: (error) => systemError(error, address) });
    } catch (error) {
      throw systemError(error, address);
    }
  }

  async follow(entry: Entry, algorithm: ChecksumAlgorithm, start: bigint): Promise<FileDigest> {
    const told = (error: unknown) => systemError(error, entry.address);
    try {
      const file = await entry.inTime(
        () => open(procPath(entry), O_RDONLY | O_NONBLOCK),
        (late) => late.close(),
      );
      // Whoever reads beside it has been told that the filesystem does not answer.
      const letGo = (closed: Promise<void>) => entry.inTime(() => closed).catch(() => undefined);
      return new ThreadedDigest(file, { algorithm, start, told, letGo });
    } catch (error) {
      throw told(error);
    }
  }
}

class PartFile implements FileWriter {
  constructor(
    private readonly file: FileHandle,
    private readonly address: ImageAddress,
  ) {}

  write(data: Uint8Array, position: bigint): Promise<void> {
    return this.#call(async () => {
      for (let done = 0; done < data.length;)
        done += (await this.file.write(data, done, data.length - done, Number(position) + done)).bytesWritten;
    });
  }

  endAt(position: bigint): Promise<void> {
    return this.#call(() => this.file.truncate(Number(position)));
  }

  read(position: bigint, length: number): Promise<Uint8Array> {
    return this.#call(async () => {
      const { buffer, bytesRead } = await this.file.read(Buffer.allocUnsafe(length), 0, length, Number(position));
      return buffer.subarray(0, bytesRead);
    });
  }

  sync(): Promise<void> {
    return this.#call(() => this.file.datasync());
  }

  close(): Promise<void> {
    return this.#call(() => this.file.close());
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw systemError(error, this.address);
    }
  }
}
