import { HostlerError } from '../../model/errors.js';

/** Who works on a path. */
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
}

interface Lock {
  mode: 'read' | 'write';
  readonly holders: Set<Holder>;
}

/** Suggested wait before trying a busy path again. */
const BUSY_RETRY_MS = 1000;

/** One writer per image, many readers; all keys of an operation in one step, or none. */
export class LockTable {
  readonly #locks = new Map<string, Lock>();

  /** Takes all keys, or fails with PATH_BUSY and the holder. Returns the release. */
  acquire(holder: Holder, keys: readonly LockKey[]): () => void {
    const wanted = strongest(keys);
    for (const { key, mode, path } of wanted) {
      const lock = this.#locks.get(key);
      if (lock !== undefined && (mode === 'write' || lock.mode === 'write'))
        throw busy(path, [...lock.holders][0] ?? holder);
    }
    for (const { key, mode } of wanted) {
      const lock = this.#locks.get(key) ?? { mode, holders: new Set<Holder>() };
      lock.holders.add(holder);
      this.#locks.set(key, lock);
    }
    return () => {
      for (const { key } of wanted) {
        const lock = this.#locks.get(key);
        lock?.holders.delete(holder);
        if (lock?.holders.size === 0) this.#locks.delete(key);
      }
    };
  }

  get size(): number {
    return this.#locks.size;
  }
}

/** One key each, write where any of them writes: an operation does not stand in its own way. */
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
