/**
 * What qemu accepts as the text of a VMDK, and what it opens because of it. The source of every
 * rule is block/vmdk.c of qemu.
 */
import type { ByteSource } from '../ports/images.js';
import { malformed } from './facts.js';

/** qemu reads no more of a file to detect its format. */
const PROBED_BYTES = 512;
const VERSIONS = [1, 2, 3].flatMap((version) => [`version=${String(version)}\n`, `version=${String(version)}\r\n`]);
/** Possible first bytes: of a comment, an empty line or a version. */
const FIRST_BYTES = Buffer.from('# \r\nv');
/** qemu searches only this area for the parent. */
const PARENT_AREA_BYTES = 20 * 512;
const HINT = 'parentFileNameHint';
/** Characters between the keyword and the name, whatever they are: normal programs write `="`. */
const HINT_GAP = 2;
/** qemu refuses longer names. */
const MAX_NAME_BYTES = 1023;

/** Whether qemu takes a file for a descriptor: comments and empty lines, then a version. */
export function isDescriptor(head: Buffer): boolean {
  if (!FIRST_BYTES.includes(head[0] ?? 0)) return false;
  const text = head.toString('latin1', 0, PROBED_BYTES);
  let at = 0;
  for (;;) {
    const end = text.indexOf('\n', at);
    if (end === -1) return false;
    const isComment = text[at] === '#';
    if (!isComment && text.slice(at, end).replaceAll(' ', '').replace('\r', '') !== '') break;
    at = end + 1;
  }
  return VERSIONS.some((version) => text.startsWith(version, at));
}

/**
 * The name of the file that qemu opens as the image's base, byte for byte: qemu searches the
 * keyword anywhere in the area, whatever the parent id is. Undefined: qemu opens none. Fails with
 * IMAGE_MALFORMED if qemu refuses the image.
 */
export async function parentName(bytes: ByteSource, areaOffset: bigint): Promise<string | undefined> {
  const area = await bytes.read(areaOffset, PARENT_AREA_BYTES);
  const hint = upToNul(area).indexOf(HINT);
  if (hint === -1) return undefined;
  const rest = upToNul(area.subarray(hint + HINT.length + HINT_GAP));
  const length = rest.indexOf('"');
  if (length === -1 || length > MAX_NAME_BYTES) throw malformed('vmdk', 'the name of its parent has no end');
  return length === 0 ? undefined : rest.toString('utf8', 0, length);
}

/** The layout that the text declares, such as `streamOptimized`; undefined if it is not a word. */
export async function subformatOf(bytes: ByteSource, areaOffset: bigint): Promise<string | undefined> {
  const text = upToNul(await bytes.read(areaOffset, PARENT_AREA_BYTES)).toString('latin1');
  return /^createType="(\w{1,40})"/m.exec(text)?.[1];
}

/** For qemu the text ends at NUL. */
export function upToNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}
