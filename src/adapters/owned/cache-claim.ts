import type { Dirent } from 'node:fs';
import { readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import { ownFileError } from '../../domain/model/own-files.js';
import { ConfigError } from '../config/config.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import type { ProcessRunner } from '../process/process.js';
import { OWNER_FILE, describeOwner, lockOwnerFile, writeOwner, type Owner } from './owner-file.js';

/** The cache's file names: a digest of what the image holds, and a ULID. */
const ENTRY_NAME = /^[0-9a-f]{24}-[0-9a-z]{26}$/;
/** mkfs creates this folder in the root of a filesystem. */
const MADE_BY_MKFS = 'lost+found';

export interface CacheClaimant {
  readonly owner: Owner;
  /** Agent ids that the state folder had before it was copied. */
  readonly formerAgents: readonly string[];
  readonly runner: ProcessRunner;
  /** Whether the cache's index has an entry with this id. */
  readonly isEntry: (id: string) => boolean;
}

/** Whether an entry is part of the cache, although it is not a cached file. */
export function isPartOfCache(entry: Pick<Dirent, 'name' | 'isFile' | 'isDirectory'>): boolean {
  if (entry.name === OWNER_FILE) return entry.isFile();
  return entry.isDirectory() && (entry.name === MADE_BY_MKFS || entry.name.startsWith(PRIVATE_PREFIX));
}

/**
 * Takes the lock on a cache folder. A folder without an owner is accepted if it is empty, or if
 * everything in it is what a cache without an owner file holds, as earlier versions left it.
 * Changes nothing in it. Fails with ConfigError, which names the owner, or OwnFileError.
 */
export async function claimCache(path: string, claimant: CacheClaimant): Promise<FileHandle> {
  try {
    return await claim(path, claimant);
  } catch (error) {
    throw ownFileError('the cache folder (cache.path)', path, error);
  }
}

async function claim(path: string, { owner, formerAgents, runner, isEntry }: CacheClaimant): Promise<FileHandle> {
  const entries = await readdir(path, { withFileTypes: true });
  const isOwned = entries.some(({ name }) => name === OWNER_FILE);
  const strange = entries.filter((entry) => !isPartOfCache(entry) && !looksLikeEntry(entry, isEntry));
  if (!isOwned && strange.length > 0)
    throw refused(
      path,
      `is in use by something else: it holds ${String(strange.length)} entries that are of no cache, such as ${strange[0]?.name ?? ''}`,
      'name a folder of its own',
    );
  const lock = await lockOwnerFile(join(path, OWNER_FILE), runner);
  const { file, held, owner: found } = lock;
  try {
    if (held && (found === undefined || mayTakeOver(path, found, owner, formerAgents))) {
      if (JSON.stringify(found) !== JSON.stringify(owner)) await writeOwner(file, owner);
      return file;
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  const whose = found === undefined ? 'another daemon' : describeOwner(found);
  if (!held) throw refused(path, `is in use by ${whose}`, 'name a folder of its own');
  throw refused(path, `belongs to ${whose}`, `if that one is gone for good, remove ${path}/${OWNER_FILE}`);
}

/**
 * Whether the folder may be taken over: it is ours; or its id belonged to a lost state folder, or
 * to the state folder from which ours was copied on this machine, whose daemon has ended. A cache
 * inside our own state folder was copied with it.
 */
function mayTakeOver(path: string, found: Owner, own: Owner, formerAgents: readonly string[]): boolean {
  if (found.agent === own.agent || isBelow(path, own.state)) return true;
  const isThisMachine = found.machine !== '' && found.machine === own.machine;
  return isThisMachine && (found.state === own.state || formerAgents.includes(found.agent));
}

function looksLikeEntry(entry: Dirent, isEntry: (id: string) => boolean): boolean {
  return entry.isFile() && (isEntry(entry.name) || ENTRY_NAME.test(entry.name));
}

function refused(path: string, what: string, advice?: string): ConfigError {
  return new ConfigError(`cache.path: the folder ${path} ${what}${advice === undefined ? '' : `; ${advice}`}`);
}

/** Places that a cache may neither be nor contain; all are real paths. */
export interface CachePlaces {
  readonly roots: readonly string[];
  readonly stateFolder: string;
  readonly instances: string;
}

/**
 * A cache may contain only its own files: it is not a root, and contains no other folder of the
 * daemon or of Nova. Fails with ConfigError.
 */
export function assertOwnPlace(path: string, { roots, stateFolder, instances }: CachePlaces): void {
  const taken: readonly (readonly [string, string])[] = [
    ...roots.map((root) => ['the root', root] as const),
    ['the state folder', stateFolder],
    ['instances_path', instances],
  ];
  for (const [what, place] of taken) {
    if (place === path) throw refused(path, `is ${what} itself`, 'name a folder of its own');
    if (isBelow(place, path)) throw refused(path, `holds ${what} ${place}`, 'name a folder of its own');
  }
}
