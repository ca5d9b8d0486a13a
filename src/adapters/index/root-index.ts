/**
 * Which images below a folder need other files: their backing file or their data files. Makes
 * synchronous calls, so it runs in a worker thread.
 */
import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import type { Dependant, LostName, NameChange, Unseen } from '../../domain/ports/changes.js';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { identityOf } from '../linux/device-identity.js';
import { claimantOf, type BadFile, type Claimant } from './bad-files.js';
import { at, bytesOf, shown } from './path-bytes.js';
import { RootCalls, type PlaceOfImages } from './root-calls.js';
import { RootScan, type Image } from './root-scan.js';

/** The images that were found, and the places that could not be read. */
export interface FoundDependants {
  readonly found: readonly (Dependant & { readonly file: Claimant })[];
  readonly unseen: readonly Unseen[];
}

/** @param from the image that names the path, which is reported if the path cannot be read */
type LeadsTo = (path: string, from: string) => boolean;

/**
 * The images of one root: which of them need a file, or would lose one. Makes synchronous calls, so
 * it belongs in a worker thread.
 */
export class RootIndex {
  readonly #calls: RootCalls;
  readonly #scan: RootScan;

  /**
   * @param identity identity of the root: another folder at its path is not the root
   * @param beat called now and then while it works
   * @param onBad called for each file that begins as an image and cannot be read as one, whenever
   * it is examined
   * @param holds whether the root holds files or devices; devices may be named by links, as LVM
   * does
   */
  constructor(
    root: string,
    identity: FileIdentity,
    closed: readonly string[],
    beat: () => void,
    onBad: (bad: BadFile) => void,
    holds: PlaceOfImages = 'files',
  ) {
    this.#calls = new RootCalls(bytesOf(root), holds, beat);
    this.#scan = new RootScan(bytesOf(root), identity, closed.map(bytesOf), this.#calls, onBad);
  }

  /** Scans the current state. @param root the current identity of the root */
  refresh(root?: FileIdentity): Promise<void> {
    return this.#scan.refresh(root);
  }

  /** The places that the last scan could not read. */
  get unseen(): readonly Unseen[] {
    return this.#scan.unseen;
  }

  /** Images that needed this file at the last scan. */
  dependantsOf(file: FileIdentity): FoundDependants {
    const unseen = [...this.#scan.unseen];
    const found: FoundDependants['found'][number][] = [];
    const leadsTo = this.#leadingTo(file, unseen);
    for (const [folder, { images }] of this.#scan.folders) {
      const isExtent = this.#extentsIn(folder, images, leadsTo, unseen);
      for (const [name, { needs, extents }] of images) {
        if (needs.length + extents.length === 0) continue;
        const path = join(folder, name);
        if (!needs.some((needed) => leadsTo(needed, path)) && !extents.some(isExtent)) continue;
        const own = this.#calls.ask(path, unseen, () => this.#calls.stat(path));
        if (own === undefined || own === 'unseen') continue;
        found.push({ path: shown(path), identity: identityOf(own), file: claimantOf(own) });
      }
    }
    return { found, unseen };
  }

  /**
   * Images that would no longer find a file, as of the last scan.
   * @param place the real path of the name that is removed
   */
  onName(place: string, change: NameChange): FoundDependants {
    const unseen = [...this.#scan.unseen];
    const found: FoundDependants['found'][number][] = [];
    const top = bytesOf(place);
    const belowPlace = this.#belowPlace(top, unseen);
    for (const [folder, { images }] of this.#scan.folders)
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
        const own = this.#calls.ask(path, unseen, () => this.#calls.stat(path));
        if (own === undefined || own === 'unseen') continue;
        found.push({ path: shown(path), identity: identityOf(own), file: claimantOf(own), loses });
      }
    return { found, unseen };
  }

  /**
   * For an existing path: where it leads below the place, by the names of its folders. Thousands of
   * images may name the same path, so results are cached.
   */
  #belowPlace(place: string, unseen: Unseen[]): (path: string) => LostName | undefined {
    const [folders, looked] = [new Map<string, string | undefined>(), new Map<string, LostName | undefined>()];
    const real = (path: string) => {
      const found = this.#calls.ask(path, unseen, () =>
        realpathSync(at(path), { encoding: 'buffer' }).toString('latin1'),
      );
      return found === 'unseen' ? undefined : found;
    };
    const look = (path: string): LostName | undefined => {
      const folder = dirname(path);
      if (!folders.has(folder)) folders.set(folder, real(folder));
      const own = folders.get(folder);
      if (own === undefined) return undefined;
      const there = this.#calls.ask(path, unseen, () => lstatSync(at(path)));
      if (there === undefined || there === 'unseen') return undefined;
      const named = join(own, basename(path));
      const led = there.isSymbolicLink() && !isBelow(named, place) ? real(path) : named;
      if (led === undefined || !isBelow(led, place)) return undefined;
      return { below: shown(led.slice(place.length + 1)) };
    };
    return (path) => {
      this.#calls.pulse();
      if (!looked.has(path)) looked.set(path, look(path));
      return looked.get(path);
    };
  }

  /**
   * Whether a name in a folder leads to the file. One image can name hundreds of files, and a
   * thousand images those of each other: only existing names are resolved, each once.
   */
  #extentsIn(folder: string, images: ReadonlyMap<string, Image>, leadsTo: LeadsTo, unseen: Unseen[]) {
    const none = ![...images.values()].some(({ extents }) => extents.length > 0);
    const listed = none ? [] : this.#calls.ask(folder, unseen, () => readdirSync(at(folder), { encoding: 'buffer' }));
    const there = new Set(listed === 'unseen' ? [] : listed?.map((name) => name.toString('latin1')));
    return (name: string): boolean => {
      const path = join(folder, name);
      return there.has(name) && leadsTo(path, path);
    };
  }

  /** Thousands of images may name the same path, so results are cached. */
  #leadingTo({ device, inode }: FileIdentity, unseen: Unseen[]): LeadsTo {
    const looked = new Map<string, boolean>();
    return (path, from) => {
      this.#calls.pulse();
      const known = looked.get(path);
      if (known !== undefined) return known;
      const stat = this.#calls.ask(from, unseen, () => statSync(at(path), { bigint: true, throwIfNoEntry: false }));
      if (stat === 'unseen') return false;
      const found = stat && identityOf(stat);
      const leads = found?.device === device && found.inode === inode;
      looked.set(path, leads);
      return leads;
    };
  }
}
