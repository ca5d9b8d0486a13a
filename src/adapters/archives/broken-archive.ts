import { HostlerError } from '../../domain/errors.js';
import type { AddressedFile } from '../../domain/ports.js';

/** So many members are looked at: an archive with a disk in it has a few. */
export const MAX_MEMBERS = 10_000;

export function brokenArchive({ address }: AddressedFile, why: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${address}: the archive cannot be read: ${why}`, {
    facts: { path: address },
  });
}

export function tooMany(file: AddressedFile): HostlerError {
  return brokenArchive(file, `it has more than ${String(MAX_MEMBERS)} members`);
}
