import { link, lstat, rename } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { ImageLocks } from '../../domain/ports/images.js';
import { errnoOf } from '../linux/errno.js';
import type { ProcessRunner } from '../process/process.js';
import { toolReason } from '../linux/tool-words.js';
import type { FolderSync } from './folder-sync.js';
import { procPath } from '../linux/proc-path.js';
import type { FileIdentity, FileRef } from '../../domain/ports/handles.js';
import type { NotDurable } from '../../domain/ports/targets.js';
import { plainRun } from '../../domain/ports/tools.js';

/** What filesystems without hard links answer to link(2). */
const NO_LINKS = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK'];
const MOVE_MS = 60_000;

export interface PublicationPorts {
  readonly runner: ProcessRunner;
  readonly imageLocks: ImageLocks;
  readonly folderSync: FolderSync;
}

/** A finished file that gets its name, in the folder that the target's handle names. */
export interface Publication {
  readonly part: FileRef;
  readonly target: FileRef;
  readonly address: string;
  readonly overwrite: boolean;
  /** Of the part, by which the name shows whose it is. */
  readonly made: FileIdentity | undefined;
}

/**
 * Gives a part its name, durably where the filesystem can do that. Fails only where the name is not
 * the part's afterwards: an error of a call that did its work all the same (a repeated request of
 * NFS) is none, nor is a failed sync.
 */
export async function publishPart(publication: Publication, ports: PublicationPorts): Promise<NotDurable | undefined> {
  const folder = await ports.folderSync.open(publication.target.handle);
  try {
    await giveName(publication, ports);
    return await ports.folderSync.sync(folder, publication.address);
  } finally {
    await folder.close();
  }
}

async function giveName(publication: Publication, ports: PublicationPorts): Promise<void> {
  try {
    if (publication.overwrite) await replace(publication, ports);
    else await add(publication, ports);
  } catch (error) {
    if (!(await isNamed(publication))) throw error;
  }
}

/**
 * Whether the target's name stands for the part. False too where nobody can look: then the first
 * error counts.
 */
async function isNamed({ target, made }: Publication): Promise<boolean> {
  if (made === undefined) return false;
  // Nobody can look: the caller throws the error of the step before.
  const now = await lstat(procPath(target), { bigint: true }).catch(() => undefined);
  return now?.dev === made.device && now.ino === made.inode;
}

/** A link never replaces. */
async function add(publication: Publication, ports: PublicationPorts): Promise<void> {
  try {
    await link(procPath(publication.part), procPath(publication.target));
  } catch (error) {
    if (!NO_LINKS.includes(errnoOf(error) ?? '')) throw error;
    await movePart(publication, ports);
  }
}

/** Where hard links are missing: mv knows RENAME_NOREPLACE, but exits 0 also when it refused. */
export async function movePart(
  { part, target, address }: Pick<Publication, 'part' | 'target' | 'address'>,
  { runner }: Pick<PublicationPorts, 'runner'>,
): Promise<void> {
  const run = plainRun(AbortSignal.timeout(MOVE_MS));
  const args = ['-nT', [{ write: part }], [{ write: target }]];
  const { stderr } = await runner.run({ tool: 'mv', args, trusted: true, limits: {} }, run);
  if (!(await isThere(part))) return;
  const facts = { path: address, stderr };
  if (await isThere(target)) throw new HostlerError('TARGET_EXISTS', `${address} exists`, { facts });
  throw new HostlerError(toolReason(stderr) ?? 'TOOL_FAILED', `${address}: ${stderr}`, {
    facts: { ...facts, tool: 'mv' },
  });
}

async function isThere(ref: FileRef): Promise<boolean> {
  try {
    await lstat(procPath(ref));
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function replace({ part, target, address }: Publication, { imageLocks }: PublicationPorts): Promise<void> {
  if (await isThere(target)) {
    const [hold] = await imageLocks.holds([target]);
    if (hold !== 'none')
      throw new HostlerError('IMAGE_IN_USE', `${address} is held by a process`, { facts: { path: address } });
  }
  await rename(procPath(part), procPath(target));
}
