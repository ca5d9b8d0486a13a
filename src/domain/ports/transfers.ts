import type { ImageAddress } from '../model/address.js';
import type { ChecksumAlgorithm } from '../model/checksum.js';
import type { Entry, FileRef } from './handles.js';

/** What goes by in order: bytes, or so many zeros. */
export type Chunk = { readonly data: Uint8Array } | { readonly zeros: bigint };

/** A file that is read. Fails with IO_ERROR, ROOT_STALLED. */
export interface FileReader {
  /** Fewer bytes than asked for only at the end. */
  read(position: bigint, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A file that is being made. Fails with NO_SPACE, IO_ERROR. */
export interface FileWriter {
  write(data: Uint8Array, position: bigint): Promise<void>;
  /**
   * The file is so long, with zeros where nothing was written. Nothing was written behind, nor is
   * meanwhile.
   */
  endAt(position: bigint): Promise<void>;
  /** Fewer bytes than asked for only at the end. */
  read(position: bigint, length: number): Promise<Uint8Array>;
  /** What was written is durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Digests a file in order, while it is written or read. */
export interface FileDigest {
  readonly algorithm: ChecksumAlgorithm;
  /** Everything before this offset is there. */
  reach(offset: bigint): void;
  /** From what was reached last to this offset are zeros, which are not read. */
  skip(offset: bigint): void;
  /** Everything is written anew. */
  restart(): void;
  /**
   * Of everything before the offset that was reached last; to be asked once. Fails with IO_ERROR.
   */
  digest(): Promise<string>;
  close(): Promise<void>;
}

/** Opens what bytes are moved into or out of. */
export interface Transfers {
  /** Fails with FILE_NOT_FOUND, ACCESS_DENIED, ROOT_STALLED. */
  reader(file: Entry): Promise<FileReader>;
  /** Makes the file unless it is there. */
  writer(part: FileRef, address: ImageAddress): Promise<FileWriter>;
  /** Of a file that is being made. */
  digest(part: FileRef, address: ImageAddress, algorithm: ChecksumAlgorithm): Promise<FileDigest>;
  /** Of a file that is read, from an offset on. Fails as `reader`. */
  follow(file: Entry, algorithm: ChecksumAlgorithm, start: bigint): Promise<FileDigest>;
}
