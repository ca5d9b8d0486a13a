/** A local checksum list such as SHA256SUMS, whose signature the user may have verified. */
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { checksumIn, type ListPlace } from '../domain/fetch/checksum-list.js';
import { UsageError } from './failure.js';
import { systemProblem } from './local-file.js';

export interface ListedChecksum {
  readonly algorithm: string;
  readonly digest: string;
}

/** The checksum in the list for a source: a URL, or an absolute path. Fails with UsageError. */
export async function listedIn(file: string, source: string): Promise<ListedChecksum> {
  const found = await checksumIn(textOf(file), placeOf(source, resolve(file)));
  if ('checksum' in found) return found.checksum;
  throw new UsageError(`${file} ${found.lacks}`);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(systemProblem(error, file) ?? String(error));
  }
}

/** Only for a file of this host the path relative to the list is known. */
function placeOf(source: string, list: string): ListPlace {
  const listName = basename(list);
  if (URL.canParse(source)) return { path: componentsOf(decoded(new URL(source).pathname)), listName };
  const [path, folder] = [componentsOf(source), componentsOf(dirname(list))];
  const below = folder.every((part, index) => part === path[index]) ? { below: path.slice(folder.length) } : {};
  return { path, listName, ...below };
}

function componentsOf(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '');
}

function decoded(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname; // not UTF-8, so a list can only name it in its encoded form
  }
}
