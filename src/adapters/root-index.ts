/** Which images below a folder need other files: one that they are backed by, or those that hold their data. Synchronous calls: it runs in a thread of its own, where it holds up nobody. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  statSync,
  type BigIntStats,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { namedBase } from '../domain/backing-name.js';
import type { Dependant, Unseen } from '../domain/change-ports.js';
import { HostlerError } from '../domain/errors.js';
import { cached } from '../domain/formats/head.js';
import { detectFormat } from '../domain/formats/magic.js';
import { READERS } from '../domain/formats/readers.js';
import { isDescriptor } from '../domain/formats/vmdk-descriptor.js';
import type { ByteSource, FileIdentity } from '../domain/ports.js';
import type { BadFile, Claimant } from './bad-files.js';
import { errnoOf } from './errno.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import { sourceOf } from './sync-look.js';
import { birthOf } from './system-sizes.js';

/** What was changed so shortly before a look may change again within the same tick of the clock. */
const SETTLED_NS = 2_000_000_000n;
const BEAT_EVERY = 200;
/** How images begin in which our readers find names of files: qcow, qed, vmdk; the text of a vmdk begins in many ways. */
const MARKS = ['QFI\xfb', 'QED\0', 'KDMV', 'COWD', '# Disk'];
const HEAD_BYTES = 512;
const [QCOW2_NAME_END, MAX_NAME_BYTES] = [20, 1023];

interface Folder {
  readonly mtimeNs: bigint;
  readonly lookedAtNs: bigint;
  readonly folders: readonly string[];
  readonly images: Map<string, Image>;
}

interface Image {
  readonly stamp: string;
  readonly settled: boolean;
  /** Absolute paths of the files that it needs now. */
  readonly needs: readonly string[];
}

/** What was found, and the places at which nobody could look. */
export interface Found {
  readonly found: readonly (Dependant & { readonly file: Claimant })[];
  readonly unseen: readonly Unseen[];
}

/** What has gone meanwhile, and what no path leads to any more: no tool can use it either. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO'];
/** What mkfs makes is the superuser's alone, and holds nobody's images. */
const NOT_LOOKED_INTO = ['lost+found'];

export class RootIndex {
  private readonly root: string;
  private readonly closed: readonly string[];
  #folders = new Map<string, Folder>();
  #unseen: Unseen[] = [];
  #looks = 0;

  /**
   * @param identity what the root is: something else at its path is not the root
   * @param beat called now and then while it works
   * @param onBad called for each file that begins as an image and cannot be read as one, when it is looked at
   */
  constructor(
    root: string,
    private identity: FileIdentity,
    closed: readonly string[],
    private readonly beat: () => void,
    private readonly onBad: (bad: BadFile) => void,
  ) {
    this.root = bytesOf(root);
    this.closed = closed.map(bytesOf);
  }

  /** The places at which the last look could not look. */
  get unseen(): readonly Unseen[] {
    return this.#unseen;
  }

  /** Images that need this file, as it is now; `root` is what the root has become. */
  async dependantsOf({ device, inode }: FileIdentity, root: FileIdentity): Promise<Found> {
    this.identity = root;
    await this.refresh();
    const unseen = [...this.#unseen];
    const found: Found['found'][number][] = [];
    for (const [folder, { images }] of this.#folders)
      for (const [name, { needs }] of images) {
        const path = join(folder, name);
        const isIt = (needed: string) => {
          this.#pulse();
          const stat = this.#ask(path, unseen, () => statSync(at(needed), { bigint: true }));
          return stat !== 'unseen' && stat?.dev === device && stat.ino === inode;
        };
        if (!needs.some(isIt)) continue;
        const own = this.#ask(path, unseen, () => lstatSync(at(path), { bigint: true }));
        if (own === undefined || own === 'unseen') continue;
        const identity = { device: own.dev, inode: own.ino };
        found.push({ path: shown(path), identity, file: claimantOf(own) });
      }
    return { found, unseen };
  }

  /** Folders that have not changed are not listed again; images always are looked at, for their headers can change in place. */
  async refresh(): Promise<void> {
    const before = this.#folders;
    this.#unseen = [];
    const why = this.#absent();
    if (why !== undefined) {
      this.#unseen.push({ place: shown(this.root), why, whole: true });
      return;
    }
    this.#folders = new Map();
    await this.#visit(this.root, before);
  }

  /** Why the root itself cannot be looked at; undefined: it can. */
  #absent(): string | undefined {
    try {
      const { dev, ino } = lstatSync(at(this.root), { bigint: true });
      const same = dev === this.identity.device && ino === this.identity.inode;
      return same ? undefined : 'something else is there: its filesystem is not mounted, or another one is';
    } catch (error) {
      return errnoOf(error) ?? String(error);
    }
  }

  async #visit(path: string, before: ReadonlyMap<string, Folder>): Promise<void> {
    this.#pulse();
    if (this.closed.includes(path)) return;
    const stat = this.#ask(path, this.#unseen, () => lstatSync(at(path), { bigint: true }));
    const known = before.get(path);
    // What was known of a folder that cannot be looked at now is still the best that is known.
    if (stat === 'unseen') {
      this.#keep(path, known, before);
      return;
    }
    if (stat?.isDirectory() !== true) return;
    const unchanged =
      known?.mtimeNs === stat.mtimeNs && known.lookedAtNs - known.mtimeNs > SETTLED_NS ? known : undefined;
    const folder = unchanged === undefined ? await this.#list(path, stat, known) : await this.#again(path, unchanged);
    if (folder === 'unseen') {
      this.#keep(path, known, before);
      return;
    }
    if (folder === undefined) return;
    this.#folders.set(path, folder);
    for (const name of folder.folders) await this.#visit(join(path, name), before);
  }

  #keep(path: string, known: Folder | undefined, before: ReadonlyMap<string, Folder>): void {
    if (known === undefined) return;
    this.#folders.set(path, known);
    for (const name of known.folders) this.#keep(join(path, name), before.get(join(path, name)), before);
  }

  async #list(path: string, stat: BigIntStats, known: Folder | undefined): Promise<Folder | 'unseen' | undefined> {
    const lookedAtNs = BigInt(Date.now()) * 1_000_000n;
    const listed = this.#ask(path, this.#unseen, () =>
      readdirSync(at(path), { withFileTypes: true, encoding: 'buffer' }),
    );
    if (listed === undefined || listed === 'unseen') return listed;
    const entries = listed.map((entry) => ({
      name: entry.name.toString('latin1'),
      isFile: entry.isFile(),
      isDirectory: entry.isDirectory(),
    }));
    const images = new Map<string, Image>();
    for (const entry of entries) {
      if (!entry.isFile) continue;
      const image = await this.#look(join(path, entry.name), known?.images.get(entry.name));
      if (image !== undefined) images.set(entry.name, image);
    }
    const folders = entries.filter((entry) => entry.isDirectory && isLookedInto(entry.name));
    return { mtimeNs: stat.mtimeNs, lookedAtNs, folders: folders.map(({ name }) => name), images };
  }

  async #again(path: string, known: Folder): Promise<Folder> {
    const images = new Map<string, Image>();
    for (const [name, image] of known.images) {
      const now = await this.#look(join(path, name), image);
      if (now !== undefined) images.set(name, now);
    }
    return { ...known, images };
  }

  /** Undefined for what is no image that could need other files, and will not soon be one. */
  async #look(path: string, known: Image | undefined): Promise<Image | undefined> {
    this.#pulse();
    const stat = this.#ask(path, this.#unseen, () => lstatSync(at(path), { bigint: true }));
    if (stat === 'unseen') return known;
    if (stat?.isFile() !== true) return undefined;
    const stamp = `${String(stat.ino)} ${String(stat.mtimeNs)} ${String(stat.ctimeNs)} ${String(stat.size)}`;
    if (known?.stamp === stamp && known.settled) return known;
    const settled = BigInt(Date.now()) * 1_000_000n - stat.mtimeNs > SETTLED_NS;
    const head = await this.#head(path);
    if (head === 'unseen') return known;
    if (head?.bad !== undefined) this.onBad({ path: shown(path), why: head.bad, file: claimantOf(stat) });
    if (head === undefined && settled) return undefined;
    return {
      stamp,
      settled,
      needs: (head?.names ?? []).map((each) => resolve(dirname(path), bytesOf(each))),
    };
  }

  async #head(path: string): Promise<Head | 'unseen' | undefined> {
    try {
      return await readNames(path);
    } catch (error) {
      return this.#failed(path, this.#unseen, error);
    }
  }

  /** What `work` finds; undefined for what has gone; what cannot be asked is noted. */
  #ask<T>(path: string, unseen: Unseen[], work: () => T): T | 'unseen' | undefined {
    try {
      return work();
    } catch (error) {
      return this.#failed(path, unseen, error);
    }
  }

  #failed(path: string, unseen: Unseen[], error: unknown): 'unseen' | undefined {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    if (GONE.includes(errno)) return undefined;
    unseen.push({ place: shown(path), why: errno, whole: path === this.root });
    return 'unseen';
  }

  #pulse(): void {
    this.#looks += 1;
    if (this.#looks % BEAT_EVERY === 0) this.beat();
  }
}

/** Inside of the index a path is its bytes, a character each: not every name is UTF-8, and what has such a name may need its base all the same. */
function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** Of a base by its name in a header. */
function pathOf(name: string): string {
  return namedBase(name)?.path ?? name;
}

function at(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

function shown(path: string): string {
  return at(path).toString('utf8');
}

function isLookedInto(name: string): boolean {
  return !name.startsWith(PRIVATE_PREFIX) && !NOT_LOOKED_INTO.includes(name);
}

function claimantOf(stat: BigIntStats): Claimant {
  return { device: stat.dev, inode: stat.ino, ...birthOf(stat), lengthBytes: stat.size };
}

/** Of an image: the paths of files that it names, and why it cannot be read otherwise. */
interface Head {
  readonly names: readonly string[];
  readonly bad?: string;
}

/** Undefined when it is no container format. Fails with system errors, and with nothing that the bytes could cause. */
async function readNames(path: string): Promise<Head | undefined> {
  const fd = openSync(at(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!couldNameAnother(fd)) return undefined;
    return await namesIn(cached(sourceOf(fd, fstatSync(fd).size)));
  } finally {
    closeSync(fd);
  }
}

async function namesIn(bytes: ByteSource): Promise<Head | undefined> {
  const format = await detectFormat(bytes);
  if (format === 'raw') return undefined;
  try {
    const { backingFile, described } = await READERS[format](bytes);
    const extents = new Set((described?.extents ?? []).flatMap(({ name }) => (name === undefined ? [] : [name])));
    return { names: [...(backingFile === undefined ? [] : [pathOf(backingFile)]), ...extents] };
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'IMAGE_MALFORMED') throw error;
    // Its tables are more than we read, or broken: it may need its base all the same.
    const backing = format === 'qcow2' ? await nameInQcow2(bytes) : undefined;
    return { bad: error.message, names: backing === undefined ? [] : [pathOf(backing)] };
  }
}

/** Of one whose tables cannot be read. */
async function nameInQcow2(bytes: ByteSource): Promise<string | undefined> {
  const head = await bytes.read(0n, QCOW2_NAME_END);
  if (head.length < QCOW2_NAME_END) return undefined;
  const length = head.readUInt32BE(16);
  if (length === 0 || length > MAX_NAME_BYTES) return undefined;
  const name = await bytes.read(head.readBigUInt64BE(8), length);
  return name.length < length || name.includes(0) ? undefined : name.toString('utf8');
}

/** By its first bytes; in a tree of a million files few are images. */
function couldNameAnother(fd: number): boolean {
  const first = Buffer.alloc(HEAD_BYTES);
  const length = readSync(fd, first, 0, HEAD_BYTES, 0);
  const head = first.subarray(0, length);
  return MARKS.some((mark) => head.toString('latin1', 0, mark.length) === mark) || isDescriptor(head);
}
