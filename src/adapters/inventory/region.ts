/** Which rows of an inventory a question is about, as ranges of its key. */
import { isBelow } from '../../domain/model/address.js';

/** What is asked of, in bytes as characters. */
export interface Region {
  /** Of a folder or a file; empty: everything. */
  readonly path: string;
  /** Only what lies in the folder itself. */
  readonly flat: boolean;
  /** Folders and files below which, and only there, images may be seen. */
  readonly inSight: readonly string[] | 'all';
}

/** Lists are in the order of these. */
export interface Key {
  readonly folder: string;
  readonly name: string;
}

/** From one key on, up to the other and without it. */
export interface KeyRange {
  readonly from: Key;
  readonly to: Key;
}

/** No name or folder has a smaller character in it: with it behind, a text is the next one. */
const NEXT = '\u0001';
/** The character behind the slash: what begins with `PATH/` comes before `PATH0`. */
const AFTER_SLASH = '0';

/** The key right behind another one. */
export function keyAfter({ folder, name }: Key): Key {
  return { folder, name: name + NEXT };
}

/** Whether the first comes before the second. */
export function isBefore(a: Key, b: Key): boolean {
  return a.folder === b.folder ? a.name < b.name : a.folder < b.folder;
}

/** The rows of a region, in their order; no two ranges overlap. */
export function rangesOf({ path, flat, inSight }: Region): readonly KeyRange[] {
  const places = inSight === 'all' ? ['/'] : inSight;
  return places
    .filter((place) => !places.some((other) => other !== place && isBelow(place, other)))
    .flatMap((place): readonly KeyRange[] => {
      if (path === '') return tree(place);
      if (isBelow(path, place)) return flat ? [itself(path), inside(path)] : tree(path);
      if (!isBelow(place, path)) return [];
      return flat ? [itself(place)].filter(({ from }) => from.folder === folderOf(path)) : tree(place);
    })
    .sort((a, b) => (isBefore(a.from, b.from) ? -1 : 1));
}

/** The file of a path, all files in the folder of that path, and all below. */
function tree(path: string): readonly KeyRange[] {
  const folder = folderOf(path);
  const deeper = { from: { folder: `${folder}/`, name: '' }, to: { folder: folder + AFTER_SLASH, name: '' } };
  return [itself(path), inside(path), deeper];
}

function itself(path: string): KeyRange {
  const slash = path.lastIndexOf('/');
  const from = { folder: path.slice(0, slash), name: path.slice(slash + 1) };
  return { from, to: keyAfter(from) };
}

function inside(path: string): KeyRange {
  const folder = folderOf(path);
  return { from: { folder, name: '' }, to: { folder: folder + NEXT, name: '' } };
}

/** The folder of `/` has no name, so that each file is at FOLDER/NAME. */
function folderOf(path: string): string {
  return path === '/' ? '' : path;
}
