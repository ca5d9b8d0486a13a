import { HostlerError } from '../model/errors.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { FileIdentity, FileRef, Handle, Resolved } from './handles.js';
import type { Chain, Layer, ToolRun } from './tools.js';

/** The result of a check of an image. */
export interface CheckCounts {
  readonly corruptions: bigint;
  readonly leaks: bigint;
  readonly checkErrors: bigint;
  readonly corruptionsFixed: bigint;
  readonly leaksFixed: bigint;
}

export interface Comparison {
  readonly equal: boolean;
  /** Unset if they are equal, or differ in their sizes. */
  readonly firstDifferenceBytes?: bigint;
  readonly message: string;
}

/** A chain of which one layer is written: the first, or the base of a commit. */
export interface Written {
  readonly chain: Chain;
  /** Replaces that layer if a copy of it is written. */
  readonly copy?: FileRef;
}

/** Compares the content of two images as guests see it. Failures as ImageTool's. */
export interface ImageComparer {
  compare(first: Chain, second: Chain, strict: boolean, tool: ToolRun): Promise<Comparison>;
}

/** Changes images in place; syncs nothing. Failures as ImageTool's. */
export interface ImageChanger {
  resize(
    image: Written,
    request: { readonly sizeBytes: bigint; readonly shrink: boolean; readonly preallocation: Preallocation },
    tool: ToolRun,
  ): Promise<void>;
  /**
   * Copies into the image what the guest would see differently on another chain of layers, or on
   * none. The header stays unchanged.
   */
  copyUp(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void>;
  /**
   * Fails with IO_ERROR unless the guest sees the same content on the other chain as on the one
   * that the header names. Changes nothing.
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
  /** By id: a name could equal another snapshot's id. */
  revertSnapshot(image: Written, id: string, tool: ToolRun): Promise<void>;
}

export interface ByteRange {
  readonly offsetBytes: bigint;
  readonly lengthBytes: bigint;
}

/**
 * Makes an image all zeros. Methods that some kinds of storage lack are optional, and a verb that
 * needs a missing one fails with `unsupported`.
 */
export interface Eraser {
  /**
   * Writes zeros over these parts; for a file each chunk after `before` has reserved space for it.
   * Fails with IO_ERROR, NO_SPACE, and as ImageTool.
   */
  zero(
    file: Resolved,
    data: readonly ByteRange[],
    tool: ToolRun,
    before?: (offsetBytes: bigint, lengthBytes: bigint) => Promise<void>,
  ): Promise<void>;
  /** Discards all blocks. Fails with UNSUPPORTED_BY_BACKEND if that is impossible. */
  discard(file: Resolved, tool: ToolRun): Promise<void>;
}

/** An image that is backed by another one. */
export interface Dependant {
  readonly path: string;
  readonly identity: FileIdentity;
  /** For `onName`: the first file that it would no longer find. */
  readonly loses?: LostName;
}

/**
 * A file that an image names: the one at this path below the name that goes, '' for that name
 * itself; or one at this absolute path, which the image names relative to the folder that it
 * leaves.
 */
export type LostName = { readonly below: string } | { readonly elsewhere: string };

/** What happens to a name; `moved` is into another folder. */
export type NameChange = 'removed' | 'renamed' | 'moved';

/** A place that could not be searched for dependants. */
export interface Unseen {
  readonly place: string;
  readonly why: string;
  /** A whole root, not one place in it. */
  readonly whole: boolean;
}

/** Unknown: there may be more than those that were found. */
export type DependantsFound =
  | { readonly known: true; readonly found: readonly Dependant[] }
  | { readonly known: false; readonly found: readonly Dependant[]; readonly unseen: readonly Unseen[] };

/** Which images of the roots are backed by others. */
export interface Dependants {
  /** Images whose backing file this is; for a volume, its clones. */
  of(file: FileRef & FileIdentity): Promise<DependantsFound>;
  /**
   * Images that would no longer find a file if this name were removed or moved: those that name it,
   * or a file below it. Images that move along count only for a move.
   */
  onName(
    place: FileRef & { readonly handle: Handle; readonly name: string },
    change: NameChange,
  ): Promise<DependantsFound>;
}

/** For automatic removals: an unknown result counts as in use. */
export function mayHaveDependants(answer: DependantsFound): boolean {
  return !answer.known || answer.found.length > 0;
}

/**
 * For a caller who has to know: fails with DEPENDANTS_UNKNOWN if a whole root could not be
 * searched.
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
