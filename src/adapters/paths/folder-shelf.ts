import type { SharedFolders } from '../../domain/ports/paths.js';
import { closeAll } from '../linux/close-all.js';
import type { RootedHandle } from '../gates/handles.js';
import type { Root } from './roots.js';

/** Folders that are open at a time for one call. */
const MOST_FOLDERS = 128;
/** Older folders are walked to again: a path may lead elsewhere by now. */
const MAX_AGE_MS = 1000;

interface Kept {
  readonly handle: RootedHandle;
  /** Where the walk began; it differs after another filesystem was mounted at the root. */
  readonly from: Root['handle'];
  readonly walkedAt: number;
  users: number;
  dropped: boolean;
}

/** A folder that stays open until it is given back. */
export interface LentFolder {
  readonly handle: RootedHandle;
  giveBack(): Promise<void>;
}

/**
 * Folders that one call has reached without links, so that the next access to the same folder needs
 * no walk. `close` closes them all.
 */
export class FolderShelf implements SharedFolders {
  readonly #kept = new Map<string, Kept>();
  #closed = false;

  /** The folder with this path in a root, if a recent walk has reached it. */
  take(root: Root, path: string): LentFolder | undefined {
    const kept = this.#kept.get(keyOf(root, path));
    if (kept?.from !== root.handle || performance.now() - kept.walkedAt > MAX_AGE_MS) return undefined;
    kept.users += 1;
    return {
      handle: kept.handle,
      giveBack: async () => {
        kept.users -= 1;
        if (kept.dropped && kept.users === 0) await kept.handle.close();
      },
    };
  }

  /** Takes over a folder that a walk has reached; the caller must no longer close it. */
  async put(root: Root, path: string, handle: RootedHandle): Promise<void> {
    const key = keyOf(root, path);
    const [oldest] = this.#kept.keys();
    const dropped = [this.#drop(key)];
    if (oldest !== undefined && this.#kept.size >= MOST_FOLDERS) dropped.push(this.#drop(oldest));
    const kept = { handle, from: root.handle, walkedAt: performance.now(), users: 0, dropped: this.#closed };
    if (this.#closed) dropped.push(kept);
    else this.#kept.set(key, kept);
    await closeUnused(dropped);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await closeUnused([...this.#kept.keys()].map((key) => this.#drop(key)));
  }

  #drop(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    this.#kept.delete(key);
    kept.dropped = true;
    return kept;
  }
}

async function closeUnused(dropped: readonly (Kept | undefined)[]): Promise<void> {
  await closeAll(dropped.flatMap((kept) => (kept?.users === 0 ? [kept.handle] : [])));
}

function keyOf({ realPath }: Root, path: string): string {
  return `${realPath}\0${path}`;
}
