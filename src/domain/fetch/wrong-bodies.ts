/** Errors about the bytes that a source sends. */
import { HostlerError } from '../model/errors.js';

/** Fails with IMAGE_TOO_LARGE. */
export function assertWithin(bytes: bigint, maxBytes: bigint, what: string): void {
  if (bytes <= maxBytes) return;
  throw new HostlerError(
    'IMAGE_TOO_LARGE',
    `${what} has ${String(bytes)} bytes or more; ${String(maxBytes)} are allowed`,
    {
      facts: { source: what, bytes: String(bytes), allowed: String(maxBytes) },
    },
  );
}

/** SOURCE_UNAVAILABLE: the answer's length is not that of the file. Sizes in bytes. */
export function otherLength(what: string, expected: bigint, sent = 0n): HostlerError {
  const text = `${what} has ${String(expected)} bytes, and an answer of ${String(sent)} came`;
  return new HostlerError('SOURCE_UNAVAILABLE', text, { facts: { source: what, total: String(expected) } });
}

/** SOURCE_UNAVAILABLE: more bytes came than the file has. */
export function tooMuch(what: string, totalBytes: bigint): HostlerError {
  const text = `${what} has ${String(totalBytes)} bytes, and more came`;
  return new HostlerError('SOURCE_UNAVAILABLE', text, { facts: { source: what, total: String(totalBytes) } });
}

/** SOURCE_UNAVAILABLE: the body ended at `offset`, before its end. */
export function endedEarly(what: string, offset: bigint, totalBytes: bigint | undefined): HostlerError {
  const text = `${what} ended after ${String(offset)} of ${String(totalBytes ?? 'an unknown number of')} bytes`;
  const total = totalBytes === undefined ? {} : { total: String(totalBytes) };
  return new HostlerError('SOURCE_UNAVAILABLE', text, { facts: { source: what, offset: String(offset), ...total } });
}

/** SOURCE_UNAVAILABLE: the file changed between two requests, so the parts do not fit. */
export function otherContent(what: string, offset: bigint): HostlerError {
  return new HostlerError('SOURCE_UNAVAILABLE', `${what} sent a part of other content`, {
    facts: { source: what, offset: String(offset) },
  });
}

/** SOURCE_WITHOUT_LENGTH: neither a length nor a checksum can prove that the body is whole. */
export function noEnd(what: string): HostlerError {
  const why = 'does not say where its answer ends, so that nothing would tell a part from the whole: give a checksum';
  return new HostlerError('SOURCE_WITHOUT_LENGTH', `${what} ${why}`, { facts: { source: what } });
}

/** SOURCE_REFUSED: the source sends parts without a validator, and there is no checksum. */
export function unprovedParts(what: string): HostlerError {
  const why = 'sends parts, and nothing tells whether the next one is of the same content: give a checksum';
  return new HostlerError('SOURCE_REFUSED', `${what} ${why}`, { facts: { source: what } });
}
