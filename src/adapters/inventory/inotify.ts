/**
 * inotify(7) through koffi: Node's own `fs.watch` reports each write to an open file, and hides an
 * overflow of the queue.
 */
import { readSync } from 'node:fs';
import { errnoOf } from '../linux/errno.js';
import { loadKoffi } from '../linux/koffi.js';
import type { FolderWatch } from './inventory-look.js';

/** From <sys/inotify.h>. */
const [IN_NONBLOCK, IN_CLOEXEC] = [0o4000, 0o2000000];
const [IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE] = [4, 8, 0x40, 0x80, 0x100, 0x200];
const [IN_DELETE_SELF, IN_MOVE_SELF, IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED] = [0x400, 0x800, 0x2000, 0x4000, 0x8000];
const IN_ONLYDIR = 0x1000000;
const NAMES = IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE;
const MASK = NAMES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
const HEAD_BYTES = 16;
/** Room for about two thousand events. */
const BUFFER_BYTES = 64 * 1024;
/** Buffers in one read: with the default settings the kernel's queue is not longer. */
const MOST_BUFFERS = 64;

interface Calls {
  readonly init: (flags: number) => number;
  readonly add: (fd: number, path: string, mask: number) => number;
  readonly remove: (fd: number, watch: number) => number;
  readonly close: (fd: number) => number;
}

let calls: Calls | undefined;

function load(): Calls | undefined {
  if (calls !== undefined) return calls;
  const libc = loadKoffi()?.load(null);
  if (libc === undefined) return undefined;
  calls = {
    init: libc.func('int inotify_init1(int)'),
    add: libc.func('int inotify_add_watch(int, const char *, uint32_t)'),
    remove: libc.func('int inotify_rm_watch(int, int)'),
    close: libc.func('int close(int)'),
  };
  return calls;
}

/** Names in folders that may have changed, or the report that anything may have changed. */
export interface Heard {
  readonly names: ReadonlyMap<string, ReadonlySet<string>>;
  /** The queue overflowed, or a filesystem was unmounted: the changes are unknown. */
  readonly lost: boolean;
}

/** Watches folders one by one. Paths are bytes, one character each. */
export class Inotify implements FolderWatch {
  readonly #paths = new Map<number, string>();
  readonly #watches = new Map<string, number>();
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  /** Whether some folder could not be watched. */
  #incomplete = false;

  private constructor(
    private readonly fd: number,
    private readonly calls: Calls,
  ) {}

  /** Undefined if the host has no inotify. */
  static open(): Inotify | undefined {
    const found = load();
    const fd = found?.init(IN_NONBLOCK | IN_CLOEXEC) ?? -1;
    return found === undefined || fd < 0 ? undefined : new Inotify(fd, found);
  }

  /** Whether every folder that was added is watched. */
  get complete(): boolean {
    return !this.#incomplete;
  }

  add(folder: string, fd: number): void {
    const watch = this.calls.add(this.fd, `/proc/self/fd/${String(fd)}`, MASK);
    if (watch < 0) {
      this.#incomplete = true;
      return;
    }
    // A folder that was moved keeps its watch.
    const before = this.#paths.get(watch);
    if (before !== undefined && before !== folder) this.#watches.delete(before);
    this.#paths.set(watch, folder);
    this.#watches.set(folder, watch);
  }

  drop(folder: string): void {
    if (!this.#watches.has(folder)) return;
    for (const [path, watch] of this.#watches)
      if (path === folder || path.startsWith(`${folder}/`)) {
        this.calls.remove(this.fd, watch);
        this.#watches.delete(path);
        this.#paths.delete(watch);
      }
  }

  /** All events that have arrived. */
  read(): Heard {
    const names = new Map<string, Set<string>>();
    let lost = false;
    for (let buffers = 0; buffers < MOST_BUFFERS; buffers++) {
      const length = this.#fill();
      if (length === 0) break;
      for (let at = 0; at < length;) {
        const watch = this.#buffer.readInt32LE(at);
        const mask = this.#buffer.readUInt32LE(at + 4);
        const bytes = this.#buffer.readUInt32LE(at + 12);
        const [name = ''] = this.#buffer.toString('latin1', at + HEAD_BYTES, at + HEAD_BYTES + bytes).split('\0', 1);
        at += HEAD_BYTES + bytes;
        if ((mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) !== 0) lost = true;
        const folder = this.#paths.get(watch);
        if (folder === undefined) continue;
        if ((mask & IN_IGNORED) !== 0) this.#forget(watch, folder);
        // The removal of the folder itself is reported by the watch of its parent.
        if (name === '' || (mask & NAMES) === 0) continue;
        const heard = names.get(folder);
        if (heard === undefined) names.set(folder, new Set([name]));
        else heard.add(name);
      }
    }
    return { names, lost };
  }

  /** Not by Node, which warns of a descriptor that it has not opened in this thread. */
  close(): void {
    this.calls.close(this.fd);
  }

  #forget(watch: number, folder: string): void {
    this.#paths.delete(watch);
    if (this.#watches.get(folder) === watch) this.#watches.delete(folder);
  }

  #fill(): number {
    try {
      return readSync(this.fd, this.#buffer, 0, BUFFER_BYTES, null);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
