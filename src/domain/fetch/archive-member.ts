import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import { archiveKind, HEAD_BYTES } from '../formats/no-disk/no-disk.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { Transfers } from '../ports/transfers.js';
import { fill } from './expand.js';
import type { Archives, ArchiveMember } from '../ports/sources.js';
import type { StagingFile, StagedImage } from '../ports/targets.js';
import type { ToolRun } from '../ports/tools.js';

export interface ArchivePorts {
  readonly files: Files;
  readonly transfers: Transfers;
  readonly archives: Archives;
}

/** Stands for the only disk of an archive, whatever its name is. */
export const ONLY_DISK = '*';
/** Extensions of disk files. */
const DISK_NAME = /\.(?:raw|img|ima|iso|dsk|hdd|qcow2?|vmdk|vdi|vhdx?|vpc|qed)(?:\.(?:gz|xz|zst|bz2))?$/i;
/** Files that macOS and other programs add beside each file. */
const HIDDEN = /(?:^|\/)(?:\._[^/]*|\.DS_Store)$|^__MACOSX\//;
/** Limit of names in an error. */
const NAMES_SHOWN = 10;

/**
 * Extracts one member, with holes for zeros. Fails with IMAGE_MALFORMED, MEMBER_NOT_FOUND,
 * IMAGE_TOO_LARGE, NO_SPACE.
 */
export async function takeMember(
  file: StagingFile,
  part: StagedImage,
  target: ImageAddress,
  wanted: string,
  maxBytes: bigint,
  run: Run,
  { files, transfers, archives }: ArchivePorts,
): Promise<StagingFile> {
  const archive = { ...file, address: target };
  const kind = archiveKind(await files.withBytes(archive, (bytes) => bytes.read(0n, HEAD_BYTES)));
  if (kind === undefined)
    throw new HostlerError('IMAGE_MALFORMED', `${target}: the file is no tar or zip archive`, {
      facts: { path: target },
    });
  run.phase('EXPANDING');
  await run.step('unpack');
  const member = choose(await archives.list(kind, archive, run.tool()), wanted, target);
  const what = `${member.name} of the ${kind} archive`;
  await fill(part.member, target, what, maxBytes, run, transfers, (take) =>
    archives.read(kind, archive, member, take, run.tool()),
  );
  return part.member;
}

/**
 * The only disk in an archive; undefined: it has none, or several, or is not a readable archive.
 */
export async function onlyDisk(
  head: Buffer,
  archive: Parameters<Archives['list']>[1],
  tool: ToolRun,
  archives: Archives,
): Promise<ArchiveMember | undefined> {
  const kind = archiveKind(head);
  if (kind === undefined) return undefined;
  try {
    return disksOf(await archives.list(kind, archive, tool))[0];
  } catch (error) {
    tool.signal.throwIfAborted();
    // The name is only a hint; the error itself is that the file is an archive.
    if (error instanceof HostlerError) return undefined;
    throw error;
  }
}

function choose(members: readonly ArchiveMember[], wanted: string, path: string): ArchiveMember {
  const found = wanted === ONLY_DISK ? disksOf(members) : members.filter(({ name }) => plain(name) === plain(wanted));
  const [first] = found;
  if (first !== undefined && found.length === 1) {
    if (first.sealed === undefined) return first;
    const text = `${path}: ${first.name} is ${first.sealed}, and is not taken out here: unpack it first`;
    throw new HostlerError('IMAGE_MALFORMED', text, { facts: { path, member: first.name } });
  }
  const which = wanted === ONLY_DISK ? 'the only disk' : wanted;
  const shown = members.slice(0, NAMES_SHOWN).map(({ name }) => name);
  const names = [...shown, ...(members.length > shown.length ? ['…'] : [])].join(', ');
  const why = found.length === 0 ? 'has no such file' : 'has several of them';
  throw new HostlerError(
    'MEMBER_NOT_FOUND',
    `${path}: ${which} cannot be extracted: the archive ${why}; it has ${names}`,
    {
      facts: { path, member: wanted },
    },
  );
}

/** Disks by their names; a single file may have any name. */
function disksOf(members: readonly ArchiveMember[]): readonly ArchiveMember[] {
  // A hard link is the same file again.
  const seen = members.filter(({ name, linkTo }) => !HIDDEN.test(name) && linkTo === undefined);
  const disks = seen.filter(({ name }) => DISK_NAME.test(name));
  const found = disks.length === 0 ? seen : disks;
  return found.length === 1 ? found : disks;
}

function plain(name: string): string {
  return name.replace(/^(?:\.\/)+/, '');
}
