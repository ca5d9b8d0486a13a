import type { ImageAddress } from '../../model/address.js';
import { nowOrLater } from '../journal.js';
import type { FileIdentity } from '../../ports/handles.js';

/** An image that an operation began to change in place and did not finish. */
export interface TouchMark {
  readonly device: bigint;
  readonly inode: bigint;
  /**
   * Distinguishes it from a later file with the same inode number; unset on a filesystem without
   * birth times.
   */
  readonly birthTimeNs?: bigint;
  readonly address: ImageAddress;
  readonly operationId: string;
  readonly method: string;
}

/**
 * Stores marks; durable when resolved. Fails with STATE_UNAVAILABLE: the mark is then written
 * later.
 */
export interface MarkStore {
  marks(): Promise<readonly TouchMark[]>;
  putMark(mark: TouchMark): Promise<void>;
  removeMark(mark: TouchMark): Promise<void>;
}

/**
 * Images that may be partly changed: marked before the first change, until an operation on them has
 * succeeded.
 */
export class TouchedImages {
  readonly #marks = new Map<string, TouchMark>();

  private constructor(private readonly store: MarkStore) {}

  static async load(store: MarkStore): Promise<TouchedImages> {
    const touched = new TouchedImages(store);
    for (const mark of await store.marks()) touched.#marks.set(keyOf(mark), mark);
    return touched;
  }

  get all(): readonly TouchMark[] {
    return [...this.#marks.values()];
  }

  async touch(mark: TouchMark): Promise<void> {
    this.#marks.set(keyOf(mark), mark);
    await this.store.putMark(mark);
  }

  /**
   * Device numbers can change when a host restarts, so inode and path together identify the image.
   */
  find(file: Markable, address: ImageAddress): TouchMark | undefined {
    const mark = this.#marks.get(keyOf(file)) ?? this.all.find((each) => isAt(each, file, address));
    return mark !== undefined && mayBeOne(mark, file) ? mark : undefined;
  }

  async clear(file: Markable, address: ImageAddress): Promise<void> {
    const mark = this.find(file, address);
    if (mark !== undefined) await this.drop(mark);
  }

  /** A new file has this inode number: the file that had it before is gone. */
  async forget(file: FileIdentity): Promise<void> {
    const mark = this.#marks.get(keyOf(file));
    if (mark !== undefined) await this.drop(mark);
  }

  async drop(mark: TouchMark): Promise<void> {
    await nowOrLater(this.store.removeMark(mark));
    this.#marks.delete(keyOf(mark));
  }
}

/** The properties that identify a marked image. */
export type Markable = FileIdentity & { readonly birthTimeNs?: bigint };

function isAt({ inode, address: at }: TouchMark, file: Markable, address: ImageAddress): boolean {
  return inode === file.inode && at === address;
}

/** False only if both are known to be different files. */
function mayBeOne({ birthTimeNs: marked }: TouchMark, { birthTimeNs: born }: Markable): boolean {
  return marked === undefined || born === undefined || marked === born;
}

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
