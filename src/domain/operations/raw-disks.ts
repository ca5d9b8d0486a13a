import type { FileIdentity } from '../ports.js';
import { nowOrLater } from './journal.js';
import type { OperationResult } from './record.js';

/** A disk that this daemon has made as raw. */
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
 * Disks that are known to be raw, because this daemon made them so: whatever a guest writes into one, it names no base. Known is a file by device,
 * inode, time of birth and length; what differs in any of them is not known.
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

  /** What was published, if it is raw. Nobody waits for the journal: a disk that it does not know is one that may name a base. */
  note(made: Omit<Made, 'lengthBytes'> | undefined, result: OperationResult): void {
    if (made?.birthTimeNs === undefined || !('info' in result) || result.info.format !== 'raw') return;
    const { device, inode, birthTimeNs } = made;
    const { fileLengthBytes: lengthBytes } = result.info;
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

type Made = FileIdentity & { readonly birthTimeNs?: bigint; readonly lengthBytes: bigint };

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
