import type { Caller } from '../access/caller.js';
import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import type { Paths } from '../ports/paths.js';
import type { ListedEntry, Trees } from '../ports/trees.js';

export interface ListDirectorySpec {
  readonly address: ImageAddress;
  readonly size: number;
  /** The last name of the previous page, in bytes. */
  readonly after?: Uint8Array;
}

export interface ListPorts {
  readonly paths: Paths;
  readonly trees: Trees;
}

/** A page of a folder; if there are more names, the last name that was examined. */
export interface FolderPage {
  readonly entries: readonly ListedEntry[];
  readonly last?: Uint8Array;
}

/** Fails with FILE_NOT_FOUND, NOT_A_DIRECTORY, and as `Trees.list`. */
export async function listDirectory(
  { address, size, after }: ListDirectorySpec,
  caller: Caller,
  { paths, trees }: ListPorts,
): Promise<FolderPage> {
  const folder = await paths.entry(address, { follow: true, access: 'look' });
  try {
    if (folder.kind !== 'folder')
      throw new HostlerError('NOT_A_DIRECTORY', `${address} is no folder`, { facts: { path: address } });
    const page = { size, ...(after === undefined ? {} : { after }) };
    const { entries, more, last } = await trees.list(folder, page, caller.signal);
    return { entries, ...(more && last !== undefined ? { last } : {}) };
  } finally {
    await folder.handle.close();
  }
}
