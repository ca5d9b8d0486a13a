import { nowOrLater } from './journal.js';
import type { ImageAddress } from '../model/address.js';
import type { ImageInfo } from '../model/image-info.js';
import type { CopyResult, FetchResult, OperationResult } from './results.js';
import type { FileIdentity } from '../ports/handles.js';

/** A disk that this daemon has made as raw, or that one who may change it has declared so. */
export interface RawDisk extends FileIdentity {
  /** Tells it from a later file that got its inode number. */
  readonly birthTimeNs: bigint;
  /** A guest cannot change it; who makes an image of the file does. */
  readonly lengthBytes: bigint;
}

/** Where they are kept. Fails with STATE_UNAVAILABLE: then it is written later. */
export interface RawDiskStore {
  rawDisks(): Promise<readonly RawDisk[]>;
  putRawDisk(disk: RawDisk): Promise<void>;
  removeRawDisk(disk: RawDisk): Promise<void>;
}

/** The oldest are forgotten: then what is in them counts as what it claims to be. */
const MOST = 65_536;

/**
 * Disks that are known to be raw, because this daemon made them so, or because they were declared
 * so when they held no image: whatever a guest writes into one, it names no base. Known is a file
 * by device, inode, time of birth and length; what differs in any of them is not known.
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
   * What was published, if it is raw: it was made so, or has the bytes of these sources as they
   * are. Nobody waits for the journal: a disk that it does not know is one that may name a base.
   */
  note(made: Omit<Made, 'lengthBytes'> | undefined, result: OperationResult, sources: Files): void {
    if (made === undefined) return;
    if (madeAsRaw(result)) this.#add({ ...made, lengthBytes: result.info.fileLengthBytes });
    else if (isCopy(result) && sources.size > 0 && [...sources.values()].every((source) => this.knows(source)))
      this.#add({ ...made, lengthBytes: result.lengthBytes });
  }

  /** What was changed where it is: a disk that was known stays so at its new length. */
  changed(files: Files, result: OperationResult): void {
    if (!madeAsRaw(result)) return;
    const before = files.get(result.info.address);
    if (before !== undefined && this.knows(before)) this.#add({ ...before, lengthBytes: result.info.fileLengthBytes });
  }

  /** Who may change it says that it is raw, and it holds no image now. */
  readonly declare = (file: Made): void => {
    if (!this.knows(file)) this.#add(file);
  };

  #add({ device, inode, birthTimeNs, lengthBytes }: Made): void {
    if (birthTimeNs === undefined) return;
    const disk = { device, inode, birthTimeNs, lengthBytes };
    // At the end, also where another disk had this inode: the first is the oldest.
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

/** A result that says of an image that it is raw. */
function madeAsRaw(
  result: OperationResult,
): result is Extract<OperationResult, { readonly info?: ImageInfo }> & { readonly info: ImageInfo } {
  return 'info' in result && result.info.format === 'raw';
}

/** Bytes as they were, whatever they are. */
function isCopy(result: OperationResult): result is CopyResult | FetchResult {
  return result.kind === 'copy' || (result.kind === 'fetch' && result.info === undefined);
}

/** By the address that the operation has for each. */
type Files = ReadonlyMap<ImageAddress, Made>;

type Made = FileIdentity & { readonly birthTimeNs?: bigint; readonly lengthBytes: bigint };

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
