import type { BigIntStats, Dir, Dirent } from 'node:fs';
import { lstat, opendir, readlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { breathe } from '../../domain/model/async.js';
import type { FileKind, FileRef } from '../../domain/ports/handles.js';
import type { ListedEntry, Trees } from '../../domain/ports/trees.js';
import { asked } from '../gates/handles.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { bytesOf, namesAsBytes } from '../linux/names-as-bytes.js';
import { sizesOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';

/** Read from the kernel, and compared, in one turn. */
const NAMES_AT_ONCE = 512;
const LOOKS_AT_ONCE = 64;
const PERMISSION_BITS = 0o7777n;
const PRIVATE = Buffer.from(PRIVATE_PREFIX);

/**
 * As `Trees.list`. The whole folder is read for each page; only the names of the page are kept.
 * @param closed real paths of folders that are left out
 */
export async function listFolder(
  folder: FileRef,
  { after, size }: Parameters<Trees['list']>[1],
  closed: readonly string[],
  signal: AbortSignal,
): ReturnType<Trees['list']> {
  const smallest = new Smallest(size + 1);
  try {
    const isKept = await keptNames(folder, closed);
    for await (const names of namesOf(folder)) {
      signal.throwIfAborted();
      for (const name of names)
        if ((after === undefined || Buffer.compare(name, after) > 0) && !isKept(name)) smallest.add(name);
      await breathe();
    }
    const names = smallest.sorted();
    const page = names.slice(0, size);
    const entries = await look(folder, page, signal);
    const last = page.at(-1);
    return { entries, more: names.length > size, ...(last === undefined ? {} : { last }) };
  } catch (error) {
    throw systemError(error, folder.address ?? 'a folder', { ENOENT: 'FILE_NOT_FOUND' });
  }
}

/** Whether a name in the folder is one of the daemon's own. */
async function keptNames(folder: FileRef, closed: readonly string[]): Promise<(name: Buffer) => boolean> {
  const path = await asked(folder.handle, () => readlink(procPath(folder)));
  const inIt = closed.filter((each) => dirname(each) === path).map((each) => Buffer.from(basename(each)));
  return (name) => name.subarray(0, PRIVATE.length).equals(PRIVATE) || inIt.some((each) => each.equals(name));
}

/** Some names at a time, as bytes. */
async function* namesOf(folder: FileRef): AsyncGenerator<Buffer[], void> {
  const open: Dir = await asked(
    folder.handle,
    () => opendir(procPath(folder), namesAsBytes(NAMES_AT_ONCE)),
    (late) => late.close(),
  );
  try {
    let names: Buffer[] = [];
    for (;;) {
      const entry = await nextOf(open, folder);
      if (entry !== null) names.push(bytesOf(entry));
      if (entry !== null && names.length < NAMES_AT_ONCE) continue;
      if (names.length > 0) yield names;
      if (entry === null) return;
      names = [];
    }
  } finally {
    await asked(folder.handle, () => open.close());
  }
}

function nextOf(open: Dir, { handle }: FileRef): Promise<Dirent | null> {
  return asked(handle, () => open.read());
}

/** What has gone since is left out. */
async function look(folder: FileRef, names: readonly Buffer[], signal: AbortSignal): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for (let at = 0; at < names.length; at += LOOKS_AT_ONCE) {
    signal.throwIfAborted();
    for (const name of names.slice(at, at + LOOKS_AT_ONCE)) {
      const stat = await statOf(folder, name);
      if (stat !== undefined) entries.push(entryOf(name, stat));
    }
    await breathe();
  }
  return entries;
}

async function statOf(folder: FileRef, name: Buffer): Promise<BigIntStats | undefined> {
  const path = Buffer.concat([Buffer.from(`${procPath(folder)}/`), name]);
  try {
    return await asked(folder.handle, () => lstat(path, { bigint: true }));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function entryOf(name: Buffer, stat: BigIntStats): ListedEntry {
  return {
    name,
    kind: kindOf(stat),
    ...sizesOf(stat),
    mode: Number(stat.mode & PERMISSION_BITS),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    modifyTimeNs: stat.mtimeNs,
  };
}

function kindOf(stat: BigIntStats): FileKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  if (stat.isSymbolicLink()) return 'link';
  return stat.isBlockDevice() ? 'block' : 'other';
}

/** The smallest of many names; never more than twice as many are kept. */
class Smallest {
  #names: Buffer[] = [];
  #largest: Buffer | undefined;

  constructor(private readonly size: number) {}

  add(name: Buffer): void {
    if (this.#largest !== undefined && Buffer.compare(name, this.#largest) >= 0) return;
    // A copy: it may be a view of all that was read with it.
    this.#names.push(Buffer.from(name));
    if (this.#names.length >= 2 * this.size) this.#cut();
  }

  sorted(): Buffer[] {
    this.#cut();
    return this.#names;
  }

  #cut(): void {
    this.#names = this.#names.sort((a, b) => Buffer.compare(a, b)).slice(0, this.size);
    if (this.#names.length === this.size) this.#largest = this.#names.at(-1);
  }
}
