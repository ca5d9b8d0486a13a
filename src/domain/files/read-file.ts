import type { ImageAddress } from '../model/address.js';
import type { Caller } from '../access/caller.js';
import { HostlerError } from '../model/errors.js';
import type { Contents } from '../ports/files.js';
import type { Paths } from '../ports/paths.js';

export interface ReadFileSpec {
  readonly address: ImageAddress;
  readonly offset: bigint;
  readonly length?: bigint;
}

export interface ReadFilePorts {
  readonly paths: Paths;
  readonly contents: Contents;
}

/** A file's bytes, in order. Fails with FILE_NOT_FOUND, NOT_A_FILE, and as `Contents.read`. */
export async function* readFile(
  { address, ...range }: ReadFileSpec,
  caller: Caller,
  { paths, contents }: ReadFilePorts,
): AsyncGenerator<Uint8Array, void> {
  const entry = await paths.entry(address, { follow: true, access: 'look' });
  try {
    if (entry.kind !== 'file')
      throw new HostlerError('NOT_A_FILE', `${address} is not a regular file`, { facts: { path: address } });
    for await (const piece of contents.read(entry, range)) {
      caller.signal.throwIfAborted();
      yield piece;
    }
  } finally {
    await entry.handle.close();
  }
}
