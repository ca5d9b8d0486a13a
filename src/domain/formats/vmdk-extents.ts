/**
 * The extent lines of a VMDK's descriptor, as in VMware's "Virtual Disk Format". qemu's own
 * interpretation does not matter (it ignores read-only extents, and zeros): the tools get a
 * descriptor that the daemon wrote.
 */
import type { NamedExtent } from '../model/image-info.js';
import { breathe } from '../model/async.js';
import { sectors } from './facts.js';

/** A tebibyte in files of 2 GiB; each is an open file. */
const MAX_EXTENTS = 512;
const MAX_NAME_BYTES = 255;
/** A millisecond of work. */
const LINES_AT_ONCE = 1000;
const ACCESS = /^(?:RW|RDONLY|NOACCESS)\b/i;
const LENGTH = /^\w+[ \t]+(\d{1,16})[ \t]/;
const QUOTED = /"([^"]*)"/;
const LINE = /^(RW|RDONLY)[ \t]+\d{1,16}[ \t]+(\w+)(?:[ \t]+"([^"]*)")?(?:[ \t]+(\d{1,16}))?$/;

interface Shape {
  readonly kind: NamedExtent['kind'];
  readonly named: boolean;
  readonly offset: boolean;
}
const SHAPES: Readonly<Record<string, Shape>> = {
  FLAT: { kind: 'flat', named: true, offset: true },
  VMFS: { kind: 'flat', named: true, offset: false },
  SPARSE: { kind: 'sparse', named: true, offset: false },
  ZERO: { kind: 'zero', named: false, offset: false },
};

export interface ExtentLines {
  /** Size of the disk; unset if there is no extent line. */
  readonly sizeBytes?: bigint;
  /** In the order of the disk, without empty extents. */
  readonly extents: readonly NamedExtent[];
  /** All quoted names, each once, at most as many as extents. */
  readonly names: readonly string[];
  /** Why the image cannot be read; unset: it can. */
  readonly problem?: string;
}

/**
 * Every line that could be an extent counts: a line that cannot be parsed is a problem, and is
 * never ignored.
 */
export async function readExtents(text: string): Promise<ExtentLines> {
  let sizeBytes: bigint | undefined;
  let problem: string | undefined;
  const extents: NamedExtent[] = [];
  const names = new Set<string>();
  let lines = 0;
  // One line at a time: a descriptor can name ten thousand.
  for (const [given] of text.matchAll(/[^\n]+/g)) {
    lines += 1;
    if (lines % LINES_AT_ONCE === 0) await breathe();
    const line = given.trim();
    if (!ACCESS.test(line)) continue;
    const lengthBytes = sectors(BigInt(LENGTH.exec(line)?.[1] ?? 0));
    sizeBytes = (sizeBytes ?? 0n) + lengthBytes;
    const name = QUOTED.exec(line)?.[1];
    if (name !== undefined && names.size < MAX_EXTENTS) names.add(name);
    if (problem !== undefined) continue;
    const extent = parseLine(line, lengthBytes);
    if (typeof extent === 'string') problem = extent;
    else if (lengthBytes > 0n) extents.push(extent);
    if (extents.length > MAX_EXTENTS) problem = `it has more than ${String(MAX_EXTENTS)} extents`;
  }
  problem ??= extents.length === 0 ? 'the disk has no sectors' : undefined;
  return {
    extents,
    names: [...names],
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** The extent, or what is wrong with the line. */
function parseLine(line: string, lengthBytes: bigint): NamedExtent | string {
  const [, , type = '', name, offset] = LINE.exec(line) ?? [];
  const shape = SHAPES[type];
  if (shape?.named !== (name !== undefined) || shape.offset !== (offset !== undefined))
    return `the extent ${line.slice(0, MAX_NAME_BYTES)} is of no kind that is read here`;
  if (name !== undefined && !isPlain(name)) return `it names ${name.slice(0, MAX_NAME_BYTES)}, no file of its folder`;
  return {
    kind: shape.kind,
    lengthBytes,
    offsetBytes: sectors(BigInt(offset ?? 0)),
    ...(name === undefined ? {} : { name }),
  };
}

/** Whether it is a name in the descriptor's own folder. */
function isPlain(name: string): boolean {
  const isText = !name.includes('\ufffd') && !name.includes('\0');
  return isText && !['', '.', '..'].includes(name) && !name.includes('/') && Buffer.byteLength(name) <= MAX_NAME_BYTES;
}

/**
 * The ids that link a child to its parent; VMware leaves the parent's unset for an image without
 * one.
 */
export function contentIds(text: string): { readonly contentId: string; readonly parentContentId: string } {
  const [, contentId = 'fffffffe'] = /^CID=([0-9a-f]{1,8})[ \t\r]*$/im.exec(text) ?? [];
  const [, parentContentId = 'ffffffff'] = /^parentCID=([0-9a-f]{1,8})[ \t\r]*$/im.exec(text) ?? [];
  return { contentId, parentContentId };
}
