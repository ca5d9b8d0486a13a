/**
 * Which images below a folder need other files: one that they are backed by, or those that hold
 * their data. Synchronous calls: it runs in a thread of its own, where it holds up nobody.
 */
import { lstatSync, readdirSync, realpathSync, statSync, type BigIntStats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import type { Dependant, LostName, NameChange, Unseen } from '../../domain/ports/changes.js';
import type { BadFile, Claimant } from './bad-files.js';
import { identityOf } from '../linux/device-identity.js';
import { errnoOf } from '../linux/errno.js';
import { readNames, type Head } from './header-names.js';
import { at, bytesOf, shown } from './path-bytes.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { birthOf } from '../linux/system-sizes.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

/** What was changed so shortly before a look may change again within the same tick of the clock. */
const SETTLED_NS = 2_000_000_000n;
const BEAT_EVERY = 200;

interface Folder {
  readonly inode: bigint;
  readonly mtimeNs: bigint;
  readonly lookedAtNs: bigint;
  readonly folders: readonly string[];
  readonly images: Map<string, Image>;
  /**
   * Files that are no images, by the time of their last change, in ms: a change may make one of
   * them an image.
   */
  readonly others: ReadonlyMap<string, number>;
}

interface Image {
  readonly stamp: string;
  readonly settled: boolean;
  /** Absolute paths of the files that it needs now. */
  readonly needs: readonly string[];
  /** Those of them that it names relative to its folder. */
  readonly relative: readonly string[];
  /** Names in its own folder of the files with its data. */
  readonly extents: readonly string[];
}

/**
 * What images lie in. Nothing but its content tells of a change of a device: it is read anew each
 * time.
 */
export type PlaceOfImages = 'files' | 'devices';

/** What was found, and the places at which nobody could look. */
export interface FoundDependants {
  readonly found: readonly (Dependant & { readonly file: Claimant })[];
  readonly unseen: readonly Unseen[];
}

/** The files of a folder, as in `Folder`. */
interface Sorted {
  readonly images: Map<string, Image>;
  readonly others: Map<string, number>;
}

/** @param from what names the path: the place of what cannot be seen */
type LeadsTo = (path: string, from: string) => boolean;

/** Stands for the time of a file that could not be looked at: it equals none. */
const NOT_SEEN = Number.NaN;
/** What has gone meanwhile, and what no path leads to any more: no tool can use it either. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO', 'ENOMEDIUM'];
/** What mkfs makes is the superuser's alone, and holds nobody's images. */
const NOT_LOOKED_INTO = ['lost+found'];

/**
 * What one root holds: the images in it and the files that they need. Each look reads again only
 * what changed since the last one. Makes synchronous calls, so it belongs in a worker thread.
 */
export class RootIndex {
  private readonly root: string;
  private readonly closed: readonly string[];
  #folders = new Map<string, Folder>();
  #unseen: Unseen[] = [];
  #looks = 0;

  /**
   * @param identity what the root is: something else at its path is not the root
   * @param beat called now and then while it works
   * @param onBad called for each file that begins as an image and cannot be read as one, when it is
   * looked at
   * @param holds devices may be named by links, as LVM names them
   */
  constructor(
    root: string,
    private identity: FileIdentity,
    closed: readonly string[],
    private readonly beat: () => void,
    private readonly onBad: (bad: BadFile) => void,
    private readonly holds: PlaceOfImages = 'files',
  ) {
    this.root = bytesOf(root);
    this.closed = closed.map(bytesOf);
  }

  /** The places at which the last look could not look. */
  get unseen(): readonly Unseen[] {
    return this.#unseen;
  }

  /** Images that need this file, as they were at the last look. */
  dependantsOf(file: FileIdentity): FoundDependants {
    const unseen = [...this.#unseen];
    const found: FoundDependants['found'][number][] = [];
    const leadsTo = this.#leadingTo(file, unseen);
    for (const [folder, { images }] of this.#folders) {
      const isExtent = this.#extentsIn(folder, images, leadsTo, unseen);
      for (const [name, { needs, extents }] of images) {
        if (needs.length + extents.length === 0) continue;
        const path = join(folder, name);
        if (!needs.some((needed) => leadsTo(needed, path)) && !extents.some(isExtent)) continue;
        const own = this.#ask(path, unseen, () => this.#stat(path));
        if (own === undefined || own === 'unseen') continue;
        found.push({ path: shown(path), identity: identityOf(own), file: claimantOf(own) });
      }
    }
    return { found, unseen };
  }

  /**
   * Images that would not find a file any more, as they were at the last look.
   * @param place the real path of the name that goes
   */
  onName(place: string, change: NameChange): FoundDependants {
    const unseen = [...this.#unseen];
    const found: FoundDependants['found'][number][] = [];
    const top = bytesOf(place);
    const belowPlace = this.#belowPlace(top, unseen);
    for (const [folder, { images }] of this.#folders)
      for (const [name, image] of images) {
        if (image.needs.length + image.extents.length === 0) continue;
        const path = join(folder, name);
        const goes = isBelow(path, top);
        if (goes && change === 'removed') continue;
        const relative = [...image.relative, ...image.extents.map((extent) => join(folder, extent))];
        const absolute = image.needs.filter((need) => !image.relative.includes(need));
        const left = goes && change === 'moved' ? relative.find((need) => !isBelow(need, top)) : undefined;
        const lost = [...absolute, ...(goes ? [] : relative)].map(belowPlace).find((each) => each !== undefined);
        const loses = left === undefined ? lost : { elsewhere: shown(left) };
        if (loses === undefined) continue;
        const own = this.#ask(path, unseen, () => this.#stat(path));
        if (own === undefined || own === 'unseen') continue;
        found.push({ path: shown(path), identity: identityOf(own), file: claimantOf(own), loses });
      }
    return { found, unseen };
  }

  /**
   * Of a path that is there: where it leads below the place, by the names of its folders. Thousands
   * of images may name the same path: it is looked at once.
   */
  #belowPlace(place: string, unseen: Unseen[]): (path: string) => LostName | undefined {
    const [folders, looked] = [new Map<string, string | undefined>(), new Map<string, LostName | undefined>()];
    const real = (path: string) => {
      const found = this.#ask(path, unseen, () => realpathSync(at(path), { encoding: 'buffer' }).toString('latin1'));
      return found === 'unseen' ? undefined : found;
    };
    const look = (path: string): LostName | undefined => {
      const folder = dirname(path);
      if (!folders.has(folder)) folders.set(folder, real(folder));
      const own = folders.get(folder);
      if (own === undefined) return undefined;
      const there = this.#ask(path, unseen, () => lstatSync(at(path)));
      if (there === undefined || there === 'unseen') return undefined;
      const named = join(own, basename(path));
      const led = there.isSymbolicLink() && !isBelow(named, place) ? real(path) : named;
      if (led === undefined || !isBelow(led, place)) return undefined;
      return { below: shown(led.slice(place.length + 1)) };
    };
    return (path) => {
      this.#pulse();
      if (!looked.has(path)) looked.set(path, look(path));
      return looked.get(path);
    };
  }

  /**
   * Whether a name in a folder leads to the file. One image can name hundreds, and a thousand
   * images those of each other: only what is there is looked at, and once.
   */
  #extentsIn(folder: string, images: ReadonlyMap<string, Image>, leadsTo: LeadsTo, unseen: Unseen[]) {
    const none = ![...images.values()].some(({ extents }) => extents.length > 0);
    const listed = none ? [] : this.#ask(folder, unseen, () => readdirSync(at(folder), { encoding: 'buffer' }));
    const there = new Set(listed === 'unseen' ? [] : listed?.map((name) => name.toString('latin1')));
    return (name: string): boolean => {
      const path = join(folder, name);
      return there.has(name) && leadsTo(path, path);
    };
  }

  /** Thousands of images may name the same path: it is looked at once. */
  #leadingTo({ device, inode }: FileIdentity, unseen: Unseen[]): LeadsTo {
    const looked = new Map<string, boolean>();
    return (path, from) => {
      this.#pulse();
      const known = looked.get(path);
      if (known !== undefined) return known;
      const stat = this.#ask(from, unseen, () => statSync(at(path), { bigint: true, throwIfNoEntry: false }));
      if (stat === 'unseen') return false;
      const found = stat && identityOf(stat);
      const leads = found?.device === device && found.inode === inode;
      looked.set(path, leads);
      return leads;
    };
  }

  /**
   * Looks at what is there now. Folders that have not changed are not listed again; files always
   * are looked at, for a header can be written in place, and over what was none.
   * @param root what the root has become
   */
  async refresh(root = this.identity): Promise<void> {
    this.identity = root;
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
    const last = before.get(path);
    // What was known of a folder that cannot be looked at now is still the best that is known.
    if (stat === 'unseen') {
      this.#keep(path, last, before);
      return;
    }
    if (stat?.isDirectory() !== true) return;
    const known = last?.inode === stat.ino ? last : undefined;
    const settled = known?.mtimeNs === stat.mtimeNs && known.lookedAtNs - known.mtimeNs > SETTLED_NS;
    const unchanged = settled && this.holds === 'files' ? known : undefined;
    const folder = unchanged === undefined ? await this.#list(path, stat, known) : await this.#again(path, unchanged);
    if (folder === 'unseen') {
      this.#keep(path, last, before);
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
      isFile: this.holds === 'files' ? entry.isFile() : entry.isBlockDevice() || entry.isSymbolicLink(),
      isDirectory: entry.isDirectory(),
    }));
    const images = new Map<string, Image>();
    const others = new Map<string, number>();
    for (const { name, isFile } of entries)
      if (isFile) await this.#file(join(path, name), name, known, { images, others });
    const folders = entries.filter((entry) => entry.isDirectory && isLookedInto(entry.name));
    return {
      inode: stat.ino,
      mtimeNs: stat.mtimeNs,
      lookedAtNs,
      folders: folders.map(({ name }) => name),
      images,
      others,
    };
  }

  /**
   * Of a folder whose names are the same: its images, and those of the others that have changed.
   */
  async #again(path: string, known: Folder): Promise<Folder> {
    const images = new Map<string, Image>();
    const others = new Map<string, number>();
    for (const names of [known.images.keys(), known.others.keys()])
      for (const name of names) await this.#file(join(path, name), name, known, { images, others });
    return { ...known, images, others };
  }

  /**
   * Puts a file where it belongs. One that was no image is looked into when it has changed; what
   * takes a name changes then.
   */
  async #file(path: string, name: string, known: Folder | undefined, { images, others }: Sorted): Promise<void> {
    const changedMs = known?.others.get(name);
    if (changedMs !== undefined) {
      this.#pulse();
      const stat = this.#ask(path, this.#unseen, () => lstatSync(at(path)));
      if (stat === undefined) return;
      if (stat === 'unseen' || stat.ctimeMs === changedMs) {
        others.set(name, changedMs);
        return;
      }
    }
    const seen = await this.#look(path, known?.images.get(name));
    if (typeof seen === 'number') others.set(name, seen);
    else if (seen !== undefined) images.set(name, seen);
  }

  #stat(path: string): BigIntStats {
    return (this.holds === 'files' ? lstatSync : statSync)(at(path), { bigint: true });
  }

  /**
   * The time of its last change, in ms, of what is no image and will not soon be one; undefined of
   * what has gone or is no file.
   */
  async #look(path: string, known: Image | undefined): Promise<Image | number | undefined> {
    this.#pulse();
    const stat = this.#ask(path, this.#unseen, () => this.#stat(path));
    if (stat === 'unseen') return known ?? NOT_SEEN;
    if (stat === undefined || !(this.holds === 'files' ? stat.isFile() : stat.isBlockDevice())) return undefined;
    const stamp = `${String(stat.ino)} ${String(stat.mtimeNs)} ${String(stat.ctimeNs)} ${String(stat.size)}`;
    if (known?.stamp === stamp && known.settled) return known;
    const settled = this.holds === 'files' && BigInt(Date.now()) * 1_000_000n - stat.ctimeNs > SETTLED_NS;
    const head = await this.#head(path);
    if (head === 'unseen') return known ?? NOT_SEEN;
    if (head?.bad !== undefined) this.onBad({ path: shown(path), why: head.bad, file: claimantOf(stat) });
    if (head === undefined && settled) return msOf(stat.ctimeNs);
    const { names = [], extents = [] } = head ?? {};
    const whole = (each: string) => resolve(dirname(path), bytesOf(each));
    const relative = names.filter((each) => !each.startsWith('/')).map(whole);
    return { stamp, settled, needs: names.map(whole), relative, extents: extents.map(bytesOf) };
  }

  async #head(path: string): Promise<Head | 'unseen' | undefined> {
    try {
      return await readNames(at(path), this.holds === 'devices');
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

/** As Node itself shows it in numbers. */
function msOf(ns: bigint): number {
  return Number(ns / 1_000_000_000n) * 1000 + Number(ns % 1_000_000_000n) / 1_000_000;
}

function isLookedInto(name: string): boolean {
  return !name.startsWith(PRIVATE_PREFIX) && !NOT_LOOKED_INTO.includes(name);
}

function claimantOf(stat: BigIntStats): Claimant {
  return { ...identityOf(stat), ...birthOf(stat), lengthBytes: stat.size };
}
