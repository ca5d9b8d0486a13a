import type { ImageAddress } from '../address.js';
import type { FileIdentity } from '../ports.js';

/** An image that an operation began to change in place, and did not end. */
export interface TouchMark {
  readonly device: bigint;
  readonly inode: bigint;
  readonly address: ImageAddress;
  readonly operationId: string;
  readonly method: string;
}

/** Where marks are kept; durable when resolved. */
export interface MarkStore {
  marks(): Promise<readonly TouchMark[]>;
  putMark(mark: TouchMark): Promise<void>;
  removeMark(mark: TouchMark): Promise<void>;
}

/** Images that may be half changed: marked before the first change, free when an operation on them has succeeded. */
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
  find({ device, inode }: FileIdentity, address: ImageAddress): TouchMark | undefined {
    const mark = this.#marks.get(keyOf({ device, inode }));
    return mark ?? this.all.find((each) => each.inode === inode && each.address === address);
  }

  async clear(file: FileIdentity, address: ImageAddress): Promise<void> {
    const mark = this.find(file, address);
    if (mark === undefined) return;
    this.#marks.delete(keyOf(mark));
    await this.store.removeMark(mark);
  }
}

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
