import { HostlerError } from '../model/errors.js';
import { contentMarks } from '../formats/magic.js';
import { HEAD_BYTES, noDisk } from '../formats/no-disk/no-disk.js';
import type { Files } from '../ports/images.js';
import { SECTOR_BYTES } from '../model/size.js';
import { onlyDisk } from './archive-member.js';
import type { Archives, ArchiveMember } from '../ports/sources.js';
import type { Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

/**
 * Raw bytes that were received as an image may be a disk, but not if they are shorter than a
 * sector. Bytes that were not declared as raw and begin as something else need partitions, or the
 * mark of an optical medium. Fails with IMAGE_MALFORMED.
 */
export async function assertDisk(
  file: Resolved,
  declared: boolean,
  tool: ToolRun,
  { files, archives }: { readonly files: Files; readonly archives: Archives },
): Promise<void> {
  const path = file.address;
  const { head, what } = await files.withBytes(file, async (bytes) => {
    const begin = await bytes.read(0n, HEAD_BYTES);
    const name = declared || (await contentMarks(bytes)).length > 0 ? undefined : noDisk(begin, bytes.lengthBytes);
    return { head: begin, what: name ?? (bytes.lengthBytes < SECTOR_BYTES ? tooShort(bytes.lengthBytes) : undefined) };
  });
  if (what === undefined) return;
  const { words, facts } = hint(await onlyDisk(head, file, tool, archives));
  throw new HostlerError('IMAGE_MALFORMED', `${path}: the file is ${what}, not a disk image${words}`, {
    facts: { path, content: what, ...facts },
  });
}

/**
 * For an archive that is not in the declared format: the error with a hint at the disk in it. Other
 * errors are unchanged.
 */
export async function withHint(
  error: unknown,
  file: Resolved,
  tool: ToolRun,
  { files, archives }: { readonly files: Files; readonly archives: Archives },
): Promise<unknown> {
  if (!(error instanceof HostlerError) || error.reason !== 'FORMAT_MISMATCH') return error;
  const head = await files.withBytes(file, (bytes) => bytes.read(0n, HEAD_BYTES));
  const { words, facts } = hint(await onlyDisk(head, file, tool, archives));
  return new HostlerError(error.reason, `${error.message}${words}`, { facts: { ...error.facts, ...facts } });
}

function hint(member: ArchiveMember | undefined): {
  readonly words: string;
  readonly facts: Readonly<Record<string, string>>;
} {
  if (member === undefined) return { words: '', facts: {} };
  const { name, sealed } = member;
  if (sealed !== undefined)
    return { words: `; it has one disk, ${name}, which is ${sealed}: unpack it first`, facts: {} };
  return { words: `; it has one disk, ${name}: set archive_member to have it`, facts: { archive_member: name } };
}

function tooShort(lengthBytes: bigint): string {
  return lengthBytes === 0n ? 'nothing' : `${String(lengthBytes)} bytes, less than a sector`;
}
