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

/** Hears how much of a file is there while it arrives. */
export interface Follower {
  /** Everything before this offset is available. */
  reach(offset: bigint): void;
  /** The file begins anew. */
  restart(): void;
}

/** Hashes a file in order while it is written or read. */
export interface FileDigest extends Follower {
  readonly algorithm: ChecksumAlgorithm;
  /** From the last reached offset to this one are zeros, which are not read. */
  skip(offset: bigint): void;
  /** The digest of everything before the last reached offset; call it once. Fails with IO_ERROR. */
  digest(): Promise<string>;
  close(): Promise<void>;
}

/**
 * The guest's disk of a qcow2 as a raw file, which is written while the qcow2 arrives: data as soon
 * as a table has named it.
 */
export interface EarlyDisk extends Follower {
  /**
   * The complete disk, not yet durable. Or why it has to be made of the complete image instead: it
   * is small, no plain qcow2, not as qemu wants it, or there was trouble, which a tool meets again
   * and can tell. The file is empty then. Fails with ROOT_STALLED.
   */
  end(): Promise<EarlyDiskResult | GivenUp>;
  /** Without `end` the file is empty then. */
  close(): Promise<void>;
}

export interface GivenUp {
  readonly gaveUp: string;
}

export interface EarlyDiskResult {
  readonly virtualSizeBytes: bigint;
  /** Bytes of the disk that the image has, also those that are zeros. */
  readonly dataBytes: bigint;
}

/** Opens the sources and targets of transfers. */
export interface Transfers {
  /** Fails with FILE_NOT_FOUND, ACCESS_DENIED, ROOT_STALLED. */
  reader(file: Entry): Promise<FileReader>;
  /** Creates the file unless it exists. */
  writer(part: FileRef, address: ImageAddress): Promise<FileWriter>;
  /** Of a file that is being created. */
  digest(part: FileRef, address: ImageAddress, algorithm: ChecksumAlgorithm): Promise<FileDigest>;
  /**
   * @param file the qcow2 that arrives
   * @param disk becomes the raw file
   * @param room called before this many bytes in all are written; an error ends the attempt. Fails
   * as `writer`.
   */
  earlyDisk(
    file: FileRef,
    disk: FileRef,
    address: ImageAddress,
    room: (bytes: bigint) => Promise<void>,
  ): Promise<EarlyDisk>;
  /** Of a file that is read, from an offset on. Fails as `reader`. */
  follow(file: Entry, algorithm: ChecksumAlgorithm, start: bigint): Promise<FileDigest>;
}
