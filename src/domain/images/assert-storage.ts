import type { ImageAddress } from '../model/address.js';
import { unsupported } from '../model/errors.js';
import type { StorageKind } from '../ports/handles.js';

const WORDS: Readonly<Record<StorageKind, string>> = {
  file: 'a file',
  device: 'a block device',
  volume: 'an image of a cluster',
};

/** For verbs that do not support every kind of storage. Fails with UNSUPPORTED_BY_BACKEND. */
export function assertStorage(
  { address, storage }: { readonly address: ImageAddress; readonly storage: StorageKind },
  able: readonly StorageKind[],
  what: string,
): void {
  if (able.includes(storage)) return;
  throw unsupported(`${address} is ${WORDS[storage]}, which ${what} cannot use`, { path: address, storage });
}
