import type { ImageAddress } from '../../model/address.js';
import { nowOrLater } from '../journal.js';
import type { FileIdentity } from '../../ports/handles.js';

/** An image that an operation began to change in place, and did not end. */
export interface TouchMark {
  readonly device: bigint;
  readonly inode: bigint;
  /**
   * Tells it from a later file that got its inode number; unset where the filesystem keeps none.
   */
  readonly birthTimeNs?: bigint;
  readonly address: ImageAddress;
  readonly operationId: string;
  readonly method: string;
}

/**
 * Where marks are kept; durable when resolved. Fails with STATE_UNAVAILABLE: then it is written
 * later.
 */
export interface MarkStore {
  marks(): Promise<readonly TouchMark[]>;
  putMark(mark: TouchMark): Promise<void>;
  removeMark(mark: TouchMark): Promise<void>;
}

/**
 * Images that may be half changed: marked before the first change, free when an operation on them
 * has succeeded.
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

  /** Device numbers change when a host starts again; inode and path together do not. */
  find(file: Markable, address: ImageAddress): TouchMark | undefined {
    const mark = this.#marks.get(keyOf(file)) ?? this.all.find((each) => isAt(each, file, address));
    return mark !== undefined && mayBeOne(mark, file) ? mark : undefined;
  }

  async clear(file: Markable, address: ImageAddress): Promise<void> {
    const mark = this.find(file, address);
    if (mark !== undefined) await this.drop(mark);
  }

  /** A new file has this number: whatever had it before is gone. */
  async forget(file: FileIdentity): Promise<void> {
    const mark = this.#marks.get(keyOf(file));
    if (mark !== undefined) await this.drop(mark);
  }

  async drop(mark: TouchMark): Promise<void> {
    await nowOrLater(this.store.removeMark(mark));
    this.#marks.delete(keyOf(mark));
  }
}

/** What a mark is found by. */
export type Markable = FileIdentity & { readonly birthTimeNs?: bigint };

function isAt({ inode, address: at }: TouchMark, file: Markable, address: ImageAddress): boolean {
  return inode === file.inode && at === address;
}

/** Not known to be two files. */
function mayBeOne({ birthTimeNs: marked }: TouchMark, { birthTimeNs: born }: Markable): boolean {
  return marked === undefined || born === undefined || marked === born;
}

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
