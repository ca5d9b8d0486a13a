/**
 * Extended attributes, for which Node has no calls; made through an optional dependency (koffi).
 */
import { loadKoffi } from '../linux/koffi.js';

/** The kernel's limits for the list of names, and for one value (xattr(7)). */
const MOST_BYTES = 64 * 1024;
/** The result of a call, until the next one. */
const found = Buffer.alloc(MOST_BYTES);

type Call = (...words: unknown[]) => bigint | number;

interface Calls {
  readonly list: Call;
  readonly get: Call;
  readonly set: Call;
  readonly remove: Call;
  readonly errno: () => number;
}

const ERRNOS = { ENODATA: 61, EOPNOTSUPP: 95 } as const;

/** By what a path names. */
const loaded = new Map<string, Xattrs>();

/** Attributes of files and folders, by synchronous calls. */
export class Xattrs {
  private constructor(private readonly calls: Calls) {}

  /**
   * Attributes of the entry of a path `itself`, also if it is a link; or of its `target`, as for
   * paths of descriptors. Undefined on a host without a build of koffi.
   */
  static load(of: 'itself' | 'target'): Xattrs | undefined {
    const known = loaded.get(of) ?? Xattrs.#load(of);
    if (known !== undefined) loaded.set(of, known);
    return known;
  }

  static #load(of: 'itself' | 'target'): Xattrs | undefined {
    const koffi = loadKoffi();
    if (koffi === undefined) return undefined;
    const library = koffi.load(null);
    const l = of === 'itself' ? 'l' : '';
    return new Xattrs({
      list: library.func(`${l}listxattr`, 'int64', ['str', 'void *', 'size_t']),
      get: library.func(`${l}getxattr`, 'int64', ['str', 'str', 'void *', 'size_t']),
      set: library.func(`${l}setxattr`, 'int', ['str', 'str', 'void *', 'size_t', 'int']),
      remove: library.func(`${l}removexattr`, 'int', ['str', 'str']),
      errno: () => koffi.errno(),
    });
  }

  /** Fails with a system error; empty on a filesystem without attributes. */
  names(path: string): readonly string[] {
    const length = Number(this.calls.list(path, found, found.length));
    if (length >= 0) return found.subarray(0, length).toString('utf8').split('\0').slice(0, -1);
    if (this.calls.errno() === ERRNOS.EOPNOTSUPP) return [];
    throw this.#failure('listxattr');
  }

  /** Undefined: there is no attribute with this name. Fails with a system error. */
  get(path: string, name: string): Buffer | undefined {
    const length = Number(this.calls.get(path, name, found, found.length));
    if (length >= 0) return Buffer.from(found.subarray(0, length));
    const errno = this.calls.errno();
    if (errno === ERRNOS.ENODATA || errno === ERRNOS.EOPNOTSUPP) return undefined;
    throw this.#failure('getxattr');
  }

  /** Fails with a system error. */
  set(path: string, name: string, value: Buffer): void {
    if (Number(this.calls.set(path, name, value, value.length, 0)) !== 0) throw this.#failure('setxattr');
  }

  /** Fails with a system error. */
  remove(path: string, name: string): void {
    if (Number(this.calls.remove(path, name)) !== 0) throw this.#failure('removexattr');
  }

  #failure(syscall: string): Error {
    const errno = this.calls.errno();
    return Object.assign(new Error(`${syscall}: errno ${String(errno)}`), { errno: -errno, syscall });
  }
}
