/**
 * The layout options of a format, by qemu's names, that a caller can choose in addition to the
 * format.
 */
import type { ImageFormat } from './image-format.js';

export interface Layout {
  /** For vpc, vhdx and vmdk. */
  readonly subformat?: string;
  /** For qcow2: its version. */
  readonly compat?: '0.10' | '1.1';
  /** For qcow2: the width of a reference count. */
  readonly refcountBits?: number;
  /** For qcow2 and other formats with clusters. */
  readonly clusterSizeBytes?: bigint;
  /** For qcow2. */
  readonly lazyRefcounts?: boolean;
  /** For qcow2. */
  readonly extendedL2?: boolean;
}

/** The layout options that are set, without other fields. */
export function layoutOf(given: Layout): Layout {
  const { subformat, compat, refcountBits, clusterSizeBytes, lazyRefcounts, extendedL2 } = given;
  return {
    ...(subformat === undefined ? {} : { subformat }),
    ...(compat === undefined ? {} : { compat }),
    ...(refcountBits === undefined ? {} : { refcountBits }),
    ...(clusterSizeBytes === undefined ? {} : { clusterSizeBytes }),
    ...(lazyRefcounts === undefined ? {} : { lazyRefcounts }),
    ...(extendedL2 === undefined ? {} : { extendedL2 }),
  };
}

/** Subformats of a single file, because one file gets the name. */
const SUBFORMATS: Partial<Record<ImageFormat, readonly string[]>> = {
  vpc: ['dynamic', 'fixed'],
  vhdx: ['dynamic', 'fixed'],
  vmdk: ['monolithicSparse', 'streamOptimized'],
};
const OF_SEVERAL_FILES = ['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'];
/** The only width in version 0.10 of qcow2. */
const OLD_REFCOUNT_BITS = 16;

/** Names of the options in messages. */
export type LayoutField = keyof Layout | 'compressionType';

interface Wanted extends Layout {
  readonly compress?: boolean;
  readonly compressionType?: string;
}

/** Options that a format does not have, or that contradict each other, each with its field. */
export function layoutProblems(format: ImageFormat, wanted: Wanted): (readonly [LayoutField, string])[] {
  return [...subformatProblems(format, wanted), ...versionProblems(format, wanted)];
}

function subformatProblems(format: ImageFormat, { subformat, compress }: Wanted): (readonly [LayoutField, string])[] {
  if (subformat === undefined) return [];
  const choices = SUBFORMATS[format];
  if (choices === undefined) return [['subformat', `${format} has none`]];
  const list = `one of ${choices.join(', ')}`;
  if (format === 'vmdk' && OF_SEVERAL_FILES.includes(subformat))
    return [['subformat', `${subformat} is made of several files, and an image here is one; ${list}`]];
  if (!choices.includes(subformat)) return [['subformat', list]];
  const stream = subformat === 'streamOptimized';
  return compress === true && !stream ? [['subformat', 'a compressed vmdk is streamOptimized']] : [];
}

function versionProblems(format: ImageFormat, wanted: Wanted): (readonly [LayoutField, string])[] {
  const { compat, refcountBits, lazyRefcounts, extendedL2, compressionType } = wanted;
  if (format !== 'qcow2')
    return [
      ...(compat === undefined ? [] : [['compat', 'only for qcow2'] as const]),
      ...(refcountBits === undefined ? [] : [['refcountBits', 'only for qcow2'] as const]),
      ...(lazyRefcounts === undefined ? [] : [['lazyRefcounts', 'only for qcow2'] as const]),
      ...(extendedL2 === undefined ? [] : [['extendedL2', 'only for qcow2'] as const]),
    ];
  if (compat !== '0.10') return [];
  const newer: readonly (readonly [LayoutField, boolean])[] = [
    ['refcountBits', refcountBits !== undefined && refcountBits !== OLD_REFCOUNT_BITS],
    ['lazyRefcounts', lazyRefcounts === true],
    ['extendedL2', extendedL2 === true],
    ['compressionType', compressionType === 'zstd'],
  ];
  return newer.filter(([, asked]) => asked).map(([field]) => [field, 'needs compat 1.1']);
}
