import { HostlerError } from '../../domain/model/errors.js';
import type { AddressedFile } from '../../domain/ports/handles.js';

/** Maximum number of members: an archive with a disk has a few. */
export const MAX_MEMBERS = 10_000;
/**
 * Limit for the listing of all members, without their content: ten thousand names of 100 bytes,
 * twice.
 */
export const MAX_LISTING_BYTES = 2 << 20;
/** The longest path that Linux accepts. */
const MAX_NAME_BYTES = 4096;

/**
 * IMAGE_MALFORMED for a file that is not a readable archive; `why` follows a colon in the message.
 */
export function brokenArchive({ address }: AddressedFile, why: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${address}: the archive cannot be read: ${why}`, {
    facts: { path: address },
  });
}

/** IMAGE_MALFORMED for an archive with more than MAX_MEMBERS members. */
export function tooMany(file: AddressedFile): HostlerError {
  return brokenArchive(file, `it has more than ${String(MAX_MEMBERS)} members`);
}

/** IMAGE_MALFORMED for an archive whose names and attributes exceed MAX_LISTING_BYTES. */
export function listingTooLong(file: AddressedFile): HostlerError {
  return brokenArchive(file, `its list of members is longer than ${String(MAX_LISTING_BYTES)} bytes`);
}

/** No file can have a longer name. Fails with IMAGE_MALFORMED. */
export function assertName(file: AddressedFile, bytes: number): void {
  if (bytes > MAX_NAME_BYTES) throw brokenArchive(file, `it has a name of more than ${String(MAX_NAME_BYTES)} bytes`);
}
