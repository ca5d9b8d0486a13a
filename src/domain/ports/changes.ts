import { HostlerError } from '../model/errors.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { FileIdentity, FileRef, Handle, Resolved } from './handles.js';
import type { Chain, Layer, ToolRun } from './tools.js';

/** What a check of an image found. */
export interface CheckCounts {
  readonly corruptions: bigint;
  readonly leaks: bigint;
  readonly checkErrors: bigint;
  readonly corruptionsFixed: bigint;
  readonly leaksFixed: bigint;
}

export interface Comparison {
  readonly equal: boolean;
  /** Unset where they are equal, or differ in their sizes. */
  readonly firstDifferenceBytes?: bigint;
  readonly message: string;
}

/** A chain of which one layer is written: the first, or the base of a commit. */
export interface Written {
  readonly chain: Chain;
  /** Stands in for that layer when a copy of it is written. */
  readonly copy?: FileRef;
}

/** Compares what guests see of two images. Failures as ImageTool's. */
export interface ImageComparer {
  compare(first: Chain, second: Chain, strict: boolean, tool: ToolRun): Promise<Comparison>;
}

/** Changes images where they are; syncs nothing. Failures as ImageTool's. */
export interface ImageChanger {
  resize(
    image: Written,
    request: { readonly sizeBytes: bigint; readonly shrink: boolean; readonly preallocation: Preallocation },
    tool: ToolRun,
  ): Promise<void>;
  /**
   * Copies up what the guest would see differently on another chain of layers, or on none. The
   * header stays as it is.
   */
  copyUp(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void>;
  /**
   * Fails with IO_ERROR unless the guest sees the same on the other chain as on the one that the
   * header names. Changes nothing.
   */
  assertCopied(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void>;
  /** Writes another base into the header, or none, and opens neither. */
  setBase(
    image: Written,
    base: { readonly storedName: string; readonly format: ImageFormat } | undefined,
    tool: ToolRun,
  ): Promise<void>;
  /** Writes the content of all layers above the one at `depth` into it. */
  commit(image: Written, depth: number, tool: ToolRun): Promise<void>;
  check(image: Written, repair: 'none' | 'leaks' | 'all', tool: ToolRun): Promise<CheckCounts>;
  createSnapshot(image: Written, name: string, tool: ToolRun): Promise<void>;
  deleteSnapshot(image: Written, name: string, tool: ToolRun): Promise<void>;
  /** By id: a name could be another's id. */
  revertSnapshot(image: Written, id: string, tool: ToolRun): Promise<void>;
}

export interface ByteRange {
  readonly offsetBytes: bigint;
  readonly lengthBytes: bigint;
}

/**
 * Makes an image all zeros. A method that some kind of storage does not have is optional, and the
 * verb that finds none fails with `unsupported`.
 */
export interface Eraser {
  /**
   * Writes zeros over these parts; of a file each piece when `before` has made room for it. Fails
   * with IO_ERROR, NO_SPACE, and as ImageTool.
   */
  zero(
    file: Resolved,
    data: readonly ByteRange[],
    tool: ToolRun,
    before?: (offsetBytes: bigint, lengthBytes: bigint) => Promise<void>,
  ): Promise<void>;
  /** Gives all blocks back. Fails with UNSUPPORTED_BY_BACKEND where they cannot be. */
  discard(file: Resolved, tool: ToolRun): Promise<void>;
}

/** An image that is backed by another one. */
export interface Dependant {
  readonly path: string;
  readonly identity: FileIdentity;
  /** Of `onName`: the first file that it would not find any more. */
  readonly loses?: LostName;
}

/**
 * A file that an image names: the one at this path below the name that goes, '' for what has that
 * name itself; or one at this absolute path, which the image names relative to the folder that it
 * leaves.
 */
export type LostName = { readonly below: string } | { readonly elsewhere: string };

/** What becomes of a name: `moved` is into another folder. */
export type NameChange = 'removed' | 'renamed' | 'moved';

/** Where nobody could look for dependants. */
export interface Unseen {
  readonly place: string;
  readonly why: string;
  /** A whole root, not one place in it. */
  readonly whole: boolean;
}

/** Unknown: there are those that were found, and there may be more. */
export type DependantsFound =
  | { readonly known: true; readonly found: readonly Dependant[] }
  | { readonly known: false; readonly found: readonly Dependant[]; readonly unseen: readonly Unseen[] };

/** Which images of the roots are backed by others. */
export interface Dependants {
  /** Images whose backing file this is; a volume's are its clones. */
  of(file: FileRef & FileIdentity): Promise<DependantsFound>;
  /**
   * Images that would not find a file any more if this name led to nothing, or what has it were
   * elsewhere: those that name it, or what is in it. What goes along counts only where it moves.
   */
  onName(
    place: FileRef & { readonly handle: Handle; readonly name: string },
    change: NameChange,
  ): Promise<DependantsFound>;
}

/** For whatever removes by itself: what is not known counts as in use. */
export function mayHaveDependants(answer: DependantsFound): boolean {
  return !answer.known || answer.found.length > 0;
}

/**
 * For a caller who has to know: fails with DEPENDANTS_UNKNOWN when a whole root could not be looked
 * at.
 */
export function assertLookedAt(
  answer: DependantsFound,
  path: string,
  mayName: (place: string) => boolean = () => true,
): void {
  const root = answer.known ? undefined : answer.unseen.find(({ whole }) => whole);
  if (root === undefined) return;
  const named = mayName(root.place);
  const which = named ? `the root ${root.place} cannot be looked at: ${root.why}` : 'a root cannot be looked at';
  throw new HostlerError('DEPENDANTS_UNKNOWN', `it is unknown whether images are backed by ${path}: ${which}`, {
    facts: { path, ...(named ? { root: root.place, why: root.why } : {}) },
  });
}
