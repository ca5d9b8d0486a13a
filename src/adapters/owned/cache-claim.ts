import type { Dirent } from 'node:fs';
import { readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import { ownFileError } from '../../domain/model/own-files.js';
import { ConfigError } from '../config/config.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import type { ProcessRunner } from '../process/process.js';
import { OWNER_FILE, describeOwner, lockOwnerFile, writeOwner, type Owner } from './owner-file.js';

/** As the cache names its files: what the image is the content of, and a ULID. */
const ENTRY_NAME = /^[0-9a-f]{24}-[0-9a-z]{26}$/;
/** The root of a filesystem has this folder, which mkfs made. */
const MADE_BY_MKFS = 'lost+found';

export interface CacheClaimant {
  readonly owner: Owner;
  /** Agent ids that the state folder had before it was copied. */
  readonly formerAgents: readonly string[];
  readonly runner: ProcessRunner;
  /** Whether the cache's index has an entry of this id. */
  readonly isEntry: (id: string) => boolean;
}

/** What is no file of the cache, but belongs there. */
export function isPartOfCache(entry: Pick<Dirent, 'name' | 'isFile' | 'isDirectory'>): boolean {
  if (entry.name === OWNER_FILE) return entry.isFile();
  return entry.isDirectory() && (entry.name === MADE_BY_MKFS || entry.name.startsWith(PRIVATE_PREFIX));
}

/**
 * The lock on a cache folder that is ours from now on. Nobody's folder becomes ours when it is
 * empty, or when everything in it is what a cache without an owner file has, as versions before
 * this one left it. Nothing in it is changed. Fails with ConfigError, which says whose it is, or
 * OwnFileError.
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
 * Ours; also by an id that went with a state folder that was lost, or that a state folder had from
 * which ours was copied on this machine: the daemon of that one has ended. What lies in our own
 * state folder came with it.
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

/** Places that a cache may neither be nor hold; all real paths. */
export interface CachePlaces {
  readonly roots: readonly string[];
  readonly stateFolder: string;
  readonly instances: string;
}

/**
 * A cache holds nothing but its own: it is no root, and nothing that others work in lies in it.
 * Fails with ConfigError.
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
