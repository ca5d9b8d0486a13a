import type { ImageAddress } from '../model/address.js';
import type { ChecksumAlgorithm } from '../model/checksum.js';
import type { Entry, FileRef } from './handles.js';

/** A part of a stream, in order: bytes, or a run of zeros. */
export type Chunk = { readonly data: Uint8Array } | { readonly zeros: bigint };

/** A file that is read. Fails with IO_ERROR, ROOT_STALLED. */
export interface FileReader {
  /** Returns fewer bytes than asked for only at the end. */
  read(position: bigint, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A file that is being created. Fails with NO_SPACE, IO_ERROR. */
export interface FileWriter {
  write(data: Uint8Array, position: bigint): Promise<void>;
  /**
   * Sets the length of the file; unwritten parts are zeros. Nothing may have been written beyond
   * it, or be written meanwhile.
   */
  endAt(position: bigint): Promise<void>;
  /** Returns fewer bytes than asked for only at the end. */
  read(position: bigint, length: number): Promise<Uint8Array>;
  /** Makes written data durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Hashes a file in order while it is written or read. */
export interface FileDigest {
  readonly algorithm: ChecksumAlgorithm;
  /** Everything before this offset is available. */
  reach(offset: bigint): void;
  /** From the last reached offset to this one are zeros, which are not read. */
  skip(offset: bigint): void;
  /** Starts again: everything is written anew. */
  restart(): void;
  /** The digest of everything before the last reached offset; call it once. Fails with IO_ERROR. */
  digest(): Promise<string>;
  close(): Promise<void>;
}

/** Opens the sources and targets of transfers. */
export interface Transfers {
  /** Fails with FILE_NOT_FOUND, ACCESS_DENIED, ROOT_STALLED. */
  reader(file: Entry): Promise<FileReader>;
  /** Creates the file unless it exists. */
  writer(part: FileRef, address: ImageAddress): Promise<FileWriter>;
  /** Of a file that is being created. */
  digest(part: FileRef, address: ImageAddress, algorithm: ChecksumAlgorithm): Promise<FileDigest>;
  /** Of a file that is read, from an offset on. Fails as `reader`. */
  follow(file: Entry, algorithm: ChecksumAlgorithm, start: bigint): Promise<FileDigest>;
}
