import { isBelow } from '../../model/address.js';
import { HostlerError } from '../../model/errors.js';

/** The operation that works on a path. */
export interface Holder {
  readonly operationId: string;
  readonly method: string;
  readonly sinceMs: number;
}

export interface LockKey {
  /** A file's device and inode, or a folder's and a name in it. */
  readonly key: string;
  readonly mode: 'read' | 'write';
  /** For the message. */
  readonly path: string;
  /** Real path; unset if there is none. */
  readonly realPath?: string;
  /** No other operation may work on a path below it, by whatever links it is named. */
  readonly tree?: true;
}

interface Lock {
  mode: 'read' | 'write';
  /** Each with its key. */
  readonly holders: Map<Holder, LockKey>;
}

/** Suggested wait before trying a busy path again. */
const BUSY_RETRY_MS = 1000;

/** One writer per image, many readers; all keys of an operation in one step, or none. */
export class LockTable {
  readonly #locks = new Map<string, Lock>();
  /** Trees that are locked as a whole. */
  readonly #trees = new Map<LockKey, Holder>();

  /**
   * Takes all keys, or fails with PATH_BUSY and the holder. Returns the release. Keys that the same
   * operation already holds, by another `Holder` of its id, do not conflict.
   */
  acquire(holder: Holder, keys: readonly LockKey[]): () => void {
    const wanted = strongest(keys);
    const isOther = ({ operationId }: Holder) => operationId !== holder.operationId;
    for (const { key, mode, path } of wanted) {
      const lock = this.#locks.get(key);
      const other = [...(lock?.holders.keys() ?? [])].find(isOther);
      if (other !== undefined && (mode === 'write' || lock?.mode === 'write')) throw busy(path, other);
    }
    for (const key of wanted) this.#assertNoTree(key, isOther);
    const trees = wanted.filter(({ tree }) => tree === true);
    for (const tree of trees) this.#assertNobodyIn(tree, isOther);
    for (const each of wanted) {
      const { key, mode } = each;
      const lock = this.#locks.get(key) ?? { mode, holders: new Map<Holder, LockKey>() };
      if (mode === 'write') lock.mode = 'write';
      lock.holders.set(holder, each);
      this.#locks.set(key, lock);
    }
    for (const tree of trees) this.#trees.set(tree, holder);
    return () => {
      for (const tree of trees) this.#trees.delete(tree);
      for (const { key } of wanted) {
        const lock = this.#locks.get(key);
        lock?.holders.delete(holder);
        if (lock?.holders.size === 0) this.#locks.delete(key);
      }
    };
  }

  /** Keys that other operations hold, with the error that an attempt to work on them gets. */
  heldByOthers(operationId: string): ReadonlyMap<string, HostlerError> {
    const held = new Map<string, HostlerError>();
    for (const [key, { holders }] of this.#locks)
      for (const [holder, { path }] of holders)
        // A name in a folder counts as the folder.
        if (holder.operationId !== operationId) held.set(key.split('/', 1)[0] ?? key, busy(path, holder));
    return held;
  }

  #assertNoTree(key: LockKey, isOther: (holder: Holder) => boolean): void {
    for (const [tree, holder] of this.#trees) if (isIn(key, tree) && isOther(holder)) throw busy(key.path, holder);
  }

  #assertNobodyIn(tree: LockKey, isOther: (holder: Holder) => boolean): void {
    for (const { holders } of this.#locks.values())
      for (const [holder, key] of holders) if (isIn(key, tree) && isOther(holder)) throw busy(key.path, holder);
  }

  get size(): number {
    return this.#locks.size;
  }
}

function isIn(key: LockKey, tree: LockKey): boolean {
  return isBelow(key.realPath ?? key.path, tree.realPath ?? tree.path);
}

/** Each key once, for writing if any of them writes: an operation does not conflict with itself. */
function strongest(keys: readonly LockKey[]): LockKey[] {
  const byKey = new Map<string, LockKey>();
  for (const key of keys) {
    if (byKey.get(key.key)?.mode !== 'write') byKey.set(key.key, key);
  }
  return [...byKey.values()];
}

function busy(path: string, { operationId, method, sinceMs }: Holder): HostlerError {
  const since = new Date(sinceMs).toISOString();
  return new HostlerError('PATH_BUSY', `${path} is being worked on by ${method} ${operationId} since ${since}`, {
    facts: { path, holder: operationId, holder_method: method, since },
    retryAfterMs: BUSY_RETRY_MS,
  });
}
