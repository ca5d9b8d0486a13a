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

/** What link(2) answers on filesystems without hard links. */
const NO_LINKS = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK'];
const MOVE_MS = 60_000;

export interface PublicationPorts {
  readonly runner: ProcessRunner;
  readonly imageLocks: ImageLocks;
  readonly folderSync: FolderSync;
}

/** A finished file that is about to get its name in the folder of the target's handle. */
export interface Publication {
  readonly part: FileRef;
  readonly target: FileRef;
  readonly address: string;
  readonly overwrite: boolean;
  /** Identity of the staged file, by which its final name is recognised. */
  readonly made: FileIdentity | undefined;
  /** What can be done while the name is made durable. Must not reject. */
  readonly named: () => Promise<void>;
}

/**
 * Gives a staged file its final name, durably if the filesystem supports it. Fails only if the name
 * does not lead to the staged file afterwards. An error of a call that still did its work (a
 * repeated NFS request) is not a failure, nor is a failed sync.
 */
export async function publishPart(publication: Publication, ports: PublicationPorts): Promise<NotDurable | undefined> {
  const folder = await ports.folderSync.open(publication.target.handle);
  try {
    await giveName(publication, ports);
    const [notDurable] = await Promise.all([ports.folderSync.sync(folder, publication.address), publication.named()]);
    return notDurable;
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
 * Whether the target's name leads to the staged file. False too if that cannot be checked: then the
 * first error counts.
 */
async function isNamed({ target, made }: Publication): Promise<boolean> {
  if (made === undefined) return false;
  // If lstat fails, the caller throws the error of the previous step.
  const now = await lstat(procPath(target), { bigint: true }).catch(() => undefined);
  return now?.dev === made.device && now.ino === made.inode;
}

/** Publishes by a hard link, which never replaces an existing name. */
async function add(publication: Publication, ports: PublicationPorts): Promise<void> {
  try {
    await link(procPath(publication.part), procPath(publication.target));
  } catch (error) {
    if (!NO_LINKS.includes(errnoOf(error) ?? '')) throw error;
    await movePart(publication, ports);
  }
}

/**
 * For filesystems without hard links. mv uses RENAME_NOREPLACE, but exits with 0 even if it did not
 * move the file.
 */
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
