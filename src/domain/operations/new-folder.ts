import { asAddress, basename, dirname } from '../model/address.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { breathe } from '../model/async.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { Paths } from '../ports/paths.js';
import type { Admitted } from './admitted.js';
import type { Use } from './verb.js';

/** Limit of attempts, because other processes may create the same folders. */
const TRIES = 10;
const LOOKS_AT_ONCE = 16;

/**
 * The folder itself if it exists, also behind a link; otherwise the topmost missing folder, and the
 * names below it. Fails with TARGET_EXISTS if another kind of entry has the name.
 */
export async function resolveFolder(use: Use & { role: 'folder' }, admitted: Admitted, paths: Paths): Promise<void> {
  const { address } = use;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const there = await paths.entry(address, { follow: true, access: 'change' }).catch(but('FILE_NOT_FOUND'));
    if (there !== undefined) {
      admitted.addEntry(there, 'read');
      if (there.kind !== 'folder') throw taken(address);
      return;
    }
    // Names below a missing folder cannot be walked.
    await paths.assertNameable(address);
    if (await resolveMissing(use, admitted, paths)) return;
  }
  throw new HostlerError('PATH_BUSY', `others make and remove folders above ${address}`, { facts: { path: address } });
}

/** False if another process created one of the folders in the meantime. */
async function resolveMissing(
  { address, parents }: Use & { role: 'folder' },
  admitted: Admitted,
  paths: Paths,
): Promise<boolean> {
  const below: string[] = [];
  for (let at = address; ; at = asAddress(dirname(at))) {
    // A path can have two thousand folders.
    if (below.length % LOOKS_AT_ONCE === LOOKS_AT_ONCE - 1) await breathe();
    const found = paths.place(at, 'name');
    const topmost = await (parents ? found.catch(but('PARENT_NOT_FOUND')) : found);
    if (topmost === undefined) {
      below.unshift(basename(at));
      continue;
    }
    if (topmost.existing === undefined) {
      admitted.addNewFolder(address, { topmost, below });
      return true;
    }
    await topmost.directory.close();
    if (topmost.existing.type !== 'folder') throw taken(at);
    return false;
  }
}

function but(reason: Reason): (error: unknown) => undefined {
  return (error) => {
    if (asHostlerError(error).reason !== reason) throw error;
  };
}

function taken(path: string): HostlerError {
  return new HostlerError('TARGET_EXISTS', `${path} exists, and is no folder`, { facts: { path } });
}
