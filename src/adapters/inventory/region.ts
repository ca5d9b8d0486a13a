/** The rows of an inventory that a question is about, as ranges of its key. */
import { isBelow } from '../../domain/model/address.js';

/** The part of the root that a question is about; paths are bytes as characters. */
export interface Region {
  /** Path of a folder or a file; empty: everything. */
  readonly path: string;
  /** Only files directly in the folder. */
  readonly flat: boolean;
  /** The folders and files that the caller may see, with everything below them. */
  readonly inSight: readonly string[] | 'all';
}

/** The sort key of lists. */
export interface Key {
  readonly folder: string;
  readonly name: string;
}

/** From one key, inclusive, to another, exclusive. */
export interface KeyRange {
  readonly from: Key;
  readonly to: Key;
}

/**
 * No name or folder contains a smaller character, so a text with this character appended is its
 * immediate successor.
 */
const NEXT = '\u0001';
/** The character after the slash: keys that begin with `PATH/` come before `PATH0`. */
const AFTER_SLASH = '0';

/** The key immediately after this one. */
export function keyAfter({ folder, name }: Key): Key {
  return { folder, name: name + NEXT };
}

/** Whether the first key comes before the second. */
export function isBefore(a: Key, b: Key): boolean {
  return a.folder === b.folder ? a.name < b.name : a.folder < b.folder;
}

/** The rows of a region as ranges, in order and without overlap. */
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

/** The file with this path, all files in a folder of this path, and everything below. */
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

/** The folder of `/` is empty, so that each file is at FOLDER/NAME. */
function folderOf(path: string): string {
  return path === '/' ? '' : path;
}
