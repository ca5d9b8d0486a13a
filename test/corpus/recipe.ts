/** What the corpus is made of: how each image is made, and what has to become of it. */
import type { ImageFormat } from '../../src/domain/model/image-format.js';

interface Made {
  /** The row of the table in docs/reference/corpus.md. */
  readonly kind: string;
  /**
   * For bash, in a folder of its own: makes `image`. `$D` is the folder with the contents (see
   * CONTENTS), `$W` that with the writers.
   */
  readonly make: string;
}

/** An image that comes through every call, and is the same afterwards. */
export interface Honest extends Made {
  /** What `GetImageInfo` says that it is. */
  readonly format: ImageFormat;
  /**
   * `all`: by every call, and its content is that of `truth` where the command makes that too, else
   * what qemu-img says. `bytes`: nobody can read its content without a secret. `fetch`: it is
   * packed; the command makes `truth` too, which has to come out of it, and for all other calls it
   * is bytes.
   */
  readonly by: 'all' | 'bytes' | 'fetch';
  /** Of an archive. */
  readonly member?: string;
}

/** One that no call takes. */
export interface Wrong extends Made {
  readonly reasons: readonly string[];
  /** Declared where it lies in a root, also one of ours; unset: it is only fetched. */
  readonly format?: ImageFormat;
  /** Also of ours it is refused. */
  readonly everywhere?: true;
  readonly member?: string;
}

/** Contents of guests' disks, in the folder `$D`. */
export const CONTENTS = ['holes', 'dense', 'zeros', 'odd', 'text', 'parted'] as const;

/** The commands that a recipe needs, for a skip with its reason. */
export function toolsOf(make: string): string[] {
  const words = make.split(/&&|\|\|?|[;({]/).map((part) => part.trim().split(/\s/)[0] ?? '');
  return [...new Set(words.filter((word) => /^[\w.-]+$/.test(word)))];
}
