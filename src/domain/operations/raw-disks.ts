import { nowOrLater } from './journal.js';
import type { ImageAddress } from '../model/address.js';
import type { ImageInfo } from '../model/image-info.js';
import type { CopyResult, FetchResult, OperationResult } from './results.js';
import type { FileIdentity } from '../ports/handles.js';

/**
 * A disk that this daemon created as raw, or that was declared as raw by a caller who may change
 * it.
 */
export interface RawDisk extends FileIdentity {
  /** Distinguishes it from a later file with the same inode number. */
  readonly birthTimeNs: bigint;
  /** A guest cannot change the length; a process that turns the file into an image does. */
  readonly lengthBytes: bigint;
}

/** Stores raw disks. Fails with STATE_UNAVAILABLE: the entry is then written later. */
export interface RawDiskStore {
  rawDisks(): Promise<readonly RawDisk[]>;
  putRawDisk(disk: RawDisk): Promise<void>;
  removeRawDisk(disk: RawDisk): Promise<void>;
}

/**
 * Beyond the limit the oldest are forgotten: their content then counts as the format that it
 * claims.
 */
const MOST = 65_536;

/**
 * Disks that are known to be raw, because this daemon created them so, or because they were
 * declared so while they held no image: whatever a guest writes into one, it names no base. A disk
 * is identified by device, inode, birth time and length; a file that differs in any of them is not
 * known.
 */
export class RawDisks {
  readonly #disks = new Map<string, RawDisk>();

  private constructor(
    private readonly store: RawDiskStore,
    private readonly onFailed: (error: unknown) => void,
  ) {}

  static async load(store: RawDiskStore, onFailed: (error: unknown) => void): Promise<RawDisks> {
    const known = new RawDisks(store, onFailed);
    for (const disk of await store.rawDisks()) known.#disks.set(keyOf(disk), disk);
    return known;
  }

  /**
   * Records a published file if it is raw: created so, or an unchanged copy of these sources. The
   * journal is not awaited: an unknown disk only counts as one that may name a base.
   */
  note(made: Omit<Made, 'lengthBytes'> | undefined, result: OperationResult, sources: Files): void {
    if (made === undefined) return;
    if (madeAsRaw(result)) this.#add({ ...made, lengthBytes: result.info.fileLengthBytes });
    else if (isCopy(result) && sources.size > 0 && [...sources.values()].every((source) => this.knows(source)))
      this.#add({ ...made, lengthBytes: result.lengthBytes });
  }

  /** Records an image that was changed in place: a known disk stays known at its new length. */
  changed(files: Files, result: OperationResult): void {
    if (!madeAsRaw(result)) return;
    const before = files.get(result.info.address);
    if (before !== undefined && this.knows(before)) this.#add({ ...before, lengthBytes: result.info.fileLengthBytes });
  }

  /** Records a file that a caller who may change it declares as raw, while it holds no image. */
  readonly declare = (file: Made): void => {
    if (!this.knows(file)) this.#add(file);
  };

  #add({ device, inode, birthTimeNs, lengthBytes }: Made): void {
    if (birthTimeNs === undefined) return;
    const disk = { device, inode, birthTimeNs, lengthBytes };
    // Moved to the end, also if another disk had this inode: the first entry is the oldest.
    this.#disks.delete(keyOf(disk));
    this.#disks.set(keyOf(disk), disk);
    this.#later(this.store.putRawDisk(disk));
    const [oldest] = this.#disks.values();
    if (oldest === undefined || this.#disks.size <= MOST) return;
    this.#disks.delete(keyOf(oldest));
    this.#later(this.store.removeRawDisk(oldest));
  }

  knows({ device, inode, birthTimeNs, lengthBytes }: Made): boolean {
    const disk = this.#disks.get(keyOf({ device, inode }));
    return disk !== undefined && disk.birthTimeNs === birthTimeNs && disk.lengthBytes === lengthBytes;
  }

  #later(writing: Promise<void>): void {
    nowOrLater(writing).catch(this.onFailed);
  }
}

/** The raw disk in a result. */
function madeAsRaw(
  result: OperationResult,
): result is Extract<OperationResult, { readonly info?: ImageInfo }> & { readonly info: ImageInfo } {
  return 'info' in result && result.info.format === 'raw';
}

/** A result whose bytes are an unchanged copy. */
function isCopy(result: OperationResult): result is CopyResult | FetchResult {
  return result.kind === 'copy' || (result.kind === 'fetch' && result.info === undefined);
}

/** By the addresses that the operation uses. */
type Files = ReadonlyMap<ImageAddress, Made>;

type Made = FileIdentity & { readonly birthTimeNs?: bigint; readonly lengthBytes: bigint };

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
