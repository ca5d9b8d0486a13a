import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import type { Entry } from '../ports/handles.js';
import type { Paths } from '../ports/paths.js';

/** The entry with this address; undefined if there is none, also behind a link. */
export async function statFile(
  address: ImageAddress,
  { paths }: { readonly paths: Paths },
): Promise<Omit<Entry, 'handle' | 'inTime'> | undefined> {
  try {
    const entry = await paths.entry(address, { follow: true, access: 'look' });
    await entry.handle.close();
    return entry;
  } catch (error) {
    if (error instanceof HostlerError && error.reason === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}
