/**
 * Examines a tree of any depth and size: with synchronous calls, in a worker thread. No call goes
 * through a link, and renames in the meantime cannot redirect it.
 */
import { accessSync, closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from 'node:fs';
import { errnoOf } from '../linux/errno.js';
import { sizesOf } from '../linux/system-sizes.js';
import { below, entriesOf, FOLDER } from './folder-bytes.js';
import { placed, TreeError } from './tree-error.js';
import { Turn } from './turn.js';

export interface LookJob {
  readonly kind: 'look';
  /** Descriptor of the folder that contains the top, and its name there. */
  readonly fd: number;
  readonly name: Uint8Array;
  readonly agentId: string;
  /** Identities as `device:inode`. */
  readonly busy: ReadonlySet<string>;
  /** Inode numbers of the files that qemu has locked, on all filesystems. */
  readonly locked: ReadonlySet<bigint>;
}

/** The results; names are relative to the top. */
export interface LookFacts {
  items: number;
  allocatedBytes: bigint;
  busy?: { key: string; names: Buffer[] };
  /** Files whose inode number is that of a locked file. */
  readonly locked: { readonly names: readonly Uint8Array[]; readonly inode: bigint }[];
}

interface Level {
  /** Undefined while closed, because too many folders are open. */
  fd: number | undefined;
  readonly stat: BigIntStats;
  /** The names of its folders that were not visited yet; each ends with NUL. */
  names: Buffer;
  readonly name: Buffer;
}

/** Maximum number of open folders. */
const MAX_OPEN = 64;
/** No more files than this are checked: one that is locked is enough. */
const MAX_LOCKED = 1000;
/**
 * Private folder of an operation of a host, or of another host that copies to this one through ssh.
 */
const WORK_NAME = /^\.hostler-(far-)?([0-9a-f]{12})-.+$/;
const { R_OK, W_OK, X_OK } = constants;

/** Examines everything, in steps of some milliseconds. Fails with TreeError. */
export function lookAt(job: LookJob): Generator<number, LookFacts> {
  return new Look(job).all();
}

/** The facts of a top that is not a folder. */
export function lookAtFile(stat: BigIntStats, job: Pick<LookJob, 'busy' | 'locked'>): LookFacts {
  const facts: LookFacts = { items: 0, allocatedBytes: 0n, locked: [] };
  count(facts, stat, job, () => []);
  return facts;
}

class Look {
  readonly #facts: LookFacts = { items: 0, allocatedBytes: 0n, locked: [] };
  readonly #levels: Level[] = [];
  readonly #isRoot = process.geteuid?.() === 0;
  readonly #turn = new Turn();
  #device = 0n;

  constructor(private readonly job: LookJob) {}

  /** Yields how many entries it has seen. */
  *all(): Generator<number, LookFacts> {
    const name = Buffer.from(this.job.name);
    const top = lstatSync(below(this.job.fd, name), { bigint: true });
    this.#device = top.dev;
    this.#see(top, name, () => []);
    if (!top.isDirectory()) return this.#facts;
    try {
      yield* this.#enter(this.job.fd, name);
      yield* this.#walk();
      return this.#facts;
    } finally {
      for (const { fd } of this.#levels) if (fd !== undefined) closeSync(fd);
    }
  }

  *#walk(): Generator<number, void> {
    for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
      if (this.#facts.busy !== undefined) return;
      const end = level.names.indexOf(0);
      if (end < 0) this.#leave();
      else {
        const name = level.names.subarray(0, end);
        level.names = level.names.subarray(end + 1);
        yield* this.#enter(this.#descriptor(level), name);
      }
    }
  }

  /** Entries that were removed in the meantime are no longer part of the tree. */
  *#enter(parent: number, name: Buffer): Generator<number, void> {
    const names = () => [...this.#path(), ...(this.#levels.length === 0 ? [] : [name])];
    let fd: number | undefined;
    try {
      fd = openSync(below(parent, name), FOLDER);
      const level: Level = { fd, stat: fstatSync(fd, { bigint: true }), names: Buffer.alloc(0), name };
      if (!this.#isRoot) accessSync(`/proc/self/fd/${String(fd)}`, R_OK | W_OK | X_OK);
      level.names = yield* this.#seeAll(fd, names);
      this.#levels.push(level);
      fd = undefined;
      const far = this.#levels.at(-1 - MAX_OPEN);
      if (far?.fd !== undefined) closeSync(far.fd);
      if (far !== undefined) far.fd = undefined;
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) throw placed(error, names());
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  #leave(): void {
    const level = this.#levels.at(-1);
    const above = this.#levels.at(-2);
    if (level?.fd !== undefined && above !== undefined) this.#reopen(above, level.fd);
    if (level?.fd !== undefined) closeSync(level.fd);
    this.#levels.pop();
  }

  /**
   * Opens the folder again through `..` of the folder in it, which leads back unless that folder
   * was moved.
   */
  #reopen(level: Level, inIt: number): void {
    if (level.fd !== undefined) return;
    const fd = openSync(below(inIt, Buffer.from('..')), FOLDER);
    const { dev, ino } = fstatSync(fd, { bigint: true });
    level.fd = fd;
    if (dev !== level.stat.dev || ino !== level.stat.ino)
      throw new TreeError({ reason: 'PATH_BUSY', words: 'was moved while it was looked at' }, this.#path());
  }

  #descriptor({ fd }: Level): number {
    if (fd === undefined) throw new Error('a folder of a walk is closed');
    return fd;
  }

  /** Yields the names of its folders. */
  *#seeAll(fd: number, names: () => Buffer[]): Generator<number, Buffer> {
    const folders: Buffer[] = [];
    for (const { name } of entriesOf(fd)) {
      const path = () => [...names(), name];
      const stat = lstatOf(fd, name, path);
      if (stat === undefined) continue;
      this.#see(stat, name, path);
      if (this.#facts.busy !== undefined) break;
      if (stat.isDirectory()) folders.push(name, Buffer.alloc(1));
      if (this.#turn.isOver()) yield this.#facts.items;
    }
    return Buffer.concat(folders);
  }

  /**
   * @param path names from the top down; built only for a report, because it is as long as the tree
   * is deep
   */
  #see(stat: BigIntStats, name: Buffer, path: () => Buffer[]): void {
    if (stat.dev !== this.#device)
      throw new TreeError({ reason: 'OTHER_FILESYSTEM', words: 'lies on another filesystem' }, path());
    if (stat.isDirectory()) this.#assertNotAtWork(name, path);
    count(this.#facts, stat, this.job, path);
  }

  /** Another agent's folder: its operation may be running. */
  #assertNotAtWork(name: Buffer, path: () => Buffer[]): void {
    const [, far, agent] = WORK_NAME.exec(name.toString()) ?? [];
    if (agent !== undefined && (far !== undefined || agent !== this.job.agentId))
      throw new TreeError({ reason: 'PATH_BUSY', words: 'is a folder in which another agent works' }, path());
  }

  #path(): Buffer[] {
    return this.#levels.slice(1).map(({ name }) => name);
  }
}

function count(
  facts: LookFacts,
  stat: BigIntStats,
  { busy, locked }: Pick<LookJob, 'busy' | 'locked'>,
  path: () => Buffer[],
): void {
  facts.items += 1;
  // A file with other names keeps its space there.
  if (stat.isDirectory() || stat.nlink === 1n) facts.allocatedBytes += sizesOf(stat).allocatedBytes;
  const key = `${String(stat.dev)}:${String(stat.ino)}`;
  if (busy.has(key)) facts.busy = { key, names: path() };
  if (stat.isFile() && locked.has(stat.ino) && facts.locked.length < MAX_LOCKED)
    facts.locked.push({ names: path(), inode: stat.ino });
}

function lstatOf(fd: number, name: Buffer, path: () => Buffer[]): BigIntStats | undefined {
  try {
    return lstatSync(below(fd, name), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw placed(error, path());
  }
}
