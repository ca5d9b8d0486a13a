/** Rows of the table of reasons (`errors.ts`) about other machines. */
import { row, type ReasonRow } from './reason-row.js';

/** For the other host of a copy. */
export const FAR_END_REASONS = {
  REMOTE_UNREACHABLE: row(
    'UNAVAILABLE',
    'later',
    'The far host, its agent or its ssh does not answer, or the connection to it broke.',
    'Look at the network and the far host; the same call resumes where it can.',
  ),
  REMOTE_NOT_TRUSTED: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The far end cannot prove its identity: its host key or certificate is unknown, has changed, or has expired.',
    'Check who answers there; then make its key known, or renew its certificate.',
  ),
  REMOTE_REFUSED: row(
    'PERMISSION_DENIED',
    'after a change',
    'The far end refuses the identity of this host.',
    'Give this host a key or role there.',
  ),
} as const satisfies Record<string, ReasonRow>;

/** For sources of images. */
export const SOURCE_REASONS = {
  SOURCE_UNAVAILABLE: row(
    'UNAVAILABLE',
    'later',
    'The source does not answer, or not as it should, and trying again did not help.',
    'Look at the source; the received bytes are kept for a while, so the same request resumes there.',
  ),
  SOURCE_NOT_FOUND: row('NOT_FOUND', 'after a change', 'The source has no such image.', 'Check the URL or image id.'),
  SOURCE_REFUSED: row(
    'PERMISSION_DENIED',
    'after a change',
    'The source refuses access.',
    'Give the credentials that the source requires.',
  ),
  SOURCE_WITHOUT_LENGTH: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The source announces neither the length nor the end of its answer: a partial answer would look complete.',
    'Give the checksum of the image, or have the server send a Content-Length.',
  ),
  MEMBER_NOT_FOUND: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The archive has no such file, or several.',
    'Look at its names, of which the message has some, and set `archive_member` to one.',
  ),
  SOURCE_FORBIDDEN: row(
    'PERMISSION_DENIED',
    'no',
    'The configuration does not let images be fetched from there: its scheme, host or address, also after a redirect.',
    'Use another source, or have it allowed under `[fetch]`.',
  ),
} as const satisfies Record<string, ReasonRow>;
