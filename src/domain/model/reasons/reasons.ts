import { row, type ReasonRow } from './reason-row.js';
import { FAR_END_REASONS, SOURCE_REASONS } from './far-reasons.js';
import { LAYER_REASONS } from './layer-reasons.js';
import { TREE_REASONS } from './tree-reasons.js';
import { TOOL_REASONS } from './tool-reasons.js';
import { DAEMON_REASONS } from './daemon-reasons.js';

/**
 * The table of reasons that callers can act on. gRPC codes are names here; `server/status.ts` turns
 * them into numbers and `docs/errors.md` is generated from this table.
 */
export const REASONS = {
  INVALID_FIELD: row(
    'INVALID_ARGUMENT',
    'no',
    'One or more fields are malformed or missing; BadRequest names each.',
    'Correct the request.',
  ),
  SAME_FILE: row(
    'INVALID_ARGUMENT',
    'no',
    'Source and target are one file, also by a hard link.',
    'Name another target.',
  ),
  NOT_A_FILE: row(
    'FAILED_PRECONDITION',
    'after a change',
    'A directory, FIFO, socket or character device is where a file is expected.',
    'Name a regular file or a block device.',
  ),
  PATH_OUTSIDE_ROOTS: row(
    'PERMISSION_DENIED',
    'no',
    'The path lies outside the configured roots, also by a link, or in a folder that the daemon keeps for itself.',
    'Use a path in one of the roots, or have the root configured.',
  ),
  ROOT_STALLED: row(
    'UNAVAILABLE',
    'later',
    'The filesystem of a root does not answer, such as a dead network mount. Other roots work as before.',
    'Look at the mount; the root works again as soon as the filesystem answers.',
  ),
  ROOT_UNAVAILABLE: row(
    'UNAVAILABLE',
    'later',
    'The filesystem of a root is not there: its server is gone, it is not mounted, or another filesystem lies over it.',
    'Look at the mount; the root works again by itself when it is right.',
  ),
  ROOT_READ_ONLY: row(
    'PERMISSION_DENIED',
    'no',
    'The root, or the filesystem under it, is read-only.',
    'Write to another root.',
  ),
  ACCESS_DENIED: row(
    'PERMISSION_DENIED',
    'after a change',
    'The system refuses the daemon access.',
    'Check owner and mode against the user that the daemon runs as.',
  ),
  PARENT_NOT_FOUND: row(
    'FAILED_PRECONDITION',
    'after a change',
    "The target's folder does not exist.",
    'Create the folder first.',
  ),
  IMAGE_NOT_FOUND: row('NOT_FOUND', 'after a change', 'No such file.', 'Check the address.'),
  GENERATION_TOO_OLD: row(
    'FAILED_PRECONDITION',
    'after a change',
    'A list or watch of images cannot be continued: what has changed since its generation is not known any more, or the inventory was made anew.',
    'List again, and watch from the generation of that list.',
  ),
  POOL_NOT_FOUND: row(
    'NOT_FOUND',
    'after a change',
    'No such Ceph pool is configured, or its cluster has no such pool or namespace.',
    'Check the address, or have the pool configured under `[[pools]]`.',
  ),
  CLUSTER_UNUSABLE: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The configuration or keyring of the Ceph cluster is not there, is no file, or has no key of the user.',
    'Correct the files that `[[clusters]]` names on the host.',
  ),
  FILE_NOT_FOUND: row('NOT_FOUND', 'after a change', 'There is no such file or folder.', 'Check the path.'),
  DOMAIN_NOT_FOUND: row('NOT_FOUND', 'after a change', 'libvirt knows no such domain.', 'Check the name.'),
  ROOT_DISK_NOT_FOUND: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The domain names no root disk.',
    'Look at the devices of the domain.',
  ),
  COMMAND_NOT_FOUND: row(
    'NOT_FOUND',
    'after a change',
    'The configuration names no such command.',
    'Have it configured under `[[commands]]`.',
  ),
  ARGUMENT_NOT_ALLOWED: row(
    'PERMISSION_DENIED',
    'no',
    'An argument matches none of the patterns that the configuration allows the command.',
    'Change the argument, or have a pattern configured.',
  ),
  ...FAR_END_REASONS,
  OPERATION_NOT_FOUND: row(
    'NOT_FOUND',
    'no',
    'No such operation, or its history is no longer kept.',
    'List the operations.',
  ),
  UPLOAD_NOT_FOUND: row(
    'NOT_FOUND',
    'no',
    'No such upload of this caller: it was published, failed, was cancelled, or expired.',
    'Look at the operation of the same id, or begin again with StartUpload.',
  ),
  EXPORT_NOT_FOUND: row(
    'NOT_FOUND',
    'no',
    'No such export of this caller: it was closed, ended, or its time was over.',
    'Open it again.',
  ),
  EXPIRED: row(
    'DEADLINE_EXCEEDED',
    'no',
    'An upload or export was closed because it was not used for the configured time, or its lifetime ended.',
    'Begin again.',
  ),
  SNAPSHOT_NOT_FOUND: row('NOT_FOUND', 'after a change', 'The image has no such snapshot.', 'List the snapshots.'),
  SECRET_REQUIRED: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image is encrypted, and the passphrase is missing or wrong.',
    'Give the right passphrase.',
  ),
  TARGET_EXISTS: row(
    'ALREADY_EXISTS',
    'after a change',
    'The target exists and `overwrite` is not set.',
    'Set `overwrite`, or name another target.',
  ),
  REQUEST_ID_REUSED: row(
    'ALREADY_EXISTS',
    'no',
    'The request id was used with other arguments.',
    'Use a new request id for a new request.',
  ),
  PATH_BUSY: row(
    'ABORTED',
    'later',
    'Another operation works on the path; the metadata names it.',
    'Wait for it, or cancel it, then try again.',
  ),
  IMAGE_IN_USE: row(
    'FAILED_PRECONDITION',
    'after a change',
    'A process holds the image, such as a running guest.',
    'Stop the guest, or set `allow_in_use` where that is safe.',
  ),
  DEPENDANTS_UNKNOWN: row(
    'UNAVAILABLE',
    'later',
    'It is unknown whether other images are backed by it: the root that the metadata names cannot be searched.',
    'Mount or repair the root again; or set `allow_dependants` if no image there needs it.',
  ),
  IMAGE_HAS_DEPENDANTS: row(
    'FAILED_PRECONDITION',
    'after a change',
    'Other images are backed by this one, or have their data in it, and would lose their content; the metadata names some.',
    'Rebase or remove those first, or set `allow_dependants` if they are not wanted any more; MoveFile writes the new name into them with `rewrite_backing_files`.',
  ),
  IMAGE_HAS_SNAPSHOTS: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image has snapshots inside, which read from the layer that would change: they would lose their content.',
    'Delete the snapshots first, or extract them into images of their own.',
  ),
  SNAPSHOT_SIZE_DIFFERS: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image was resized after the snapshot was made, and this extraction cannot give it the size that it had.',
    'Do what the message says: resize the image to the size of the snapshot, or extract as raw into a file.',
  ),
  SNAPSHOT_EXISTS: row(
    'ALREADY_EXISTS',
    'after a change',
    'The image has a snapshot of that name.',
    'Choose another name, or delete that one.',
  ),
  IMAGE_MALFORMED: row(
    'FAILED_PRECONDITION',
    'no',
    'The image is broken or cut, or its content is no image; the message says what is wrong.',
    'Restore the image from another copy.',
  ),
  ...LAYER_REASONS,
  ...TREE_REASONS,
  WOULD_SHRINK: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image is larger than the size asked for: the data beyond it would be lost.',
    'Set allow_shrink if that is meant, after the guest has given the space up.',
  ),
  IMAGE_UNSAFE: row(
    'FAILED_PRECONDITION',
    'no',
    'The image may lead to files outside itself, or cannot be checked completely.',
    'See the findings in the message.',
  ),
  FORMAT_MISMATCH: row(
    'FAILED_PRECONDITION',
    'no',
    'The declared format is not what the header says.',
    'Declare the format that the image has.',
  ),
  IMAGE_TOO_LARGE: row(
    'FAILED_PRECONDITION',
    'after a change',
    "The image's virtual size is over `max_size_bytes`, or an untrusted file is longer than `limits.foreign.image_bytes`.",
    'Raise the limit if you trust the image.',
  ),
  NO_SPACE: row(
    'RESOURCE_EXHAUSTED',
    'later',
    'The filesystem has too little space.',
    'Free space, or write to another filesystem.',
  ),
  TOO_MANY_OPERATIONS: row('RESOURCE_EXHAUSTED', 'later', 'The queue is full.', 'Wait, then try again.'),
  HOST_EXHAUSTED: row(
    'RESOURCE_EXHAUSTED',
    'later',
    'The host, or the limits of the daemon, allow no more memory, processes, threads, file descriptors or locks.',
    'Wait, then try again; if it lasts, raise the limits of the service.',
  ),
  CALLER_AT_LIMIT: row(
    'RESOURCE_EXHAUSTED',
    'later',
    'The caller has reached one of its limits; the metadata names it and its value.',
    'End some of it, or wait.',
  ),
  TOO_MANY_CALLS: row('RESOURCE_EXHAUSTED', 'later', 'The caller has too many calls open.', 'End some, or wait.'),
  CHECKSUM_MISMATCH: row(
    'DATA_LOSS',
    'later',
    'The data does not have the expected checksum, or a copy differs from its source.',
    'Try again; if it happens again, suspect memory or disk.',
  ),
  ...SOURCE_REASONS,
  ...TOOL_REASONS,
  UNSUPPORTED_BY_BACKEND: row(
    'UNIMPLEMENTED',
    'no',
    'The format, filesystem or backend cannot do it.',
    'Choose another way; the message says why.',
  ),
  NOT_IMPLEMENTED: row(
    'UNIMPLEMENTED',
    'no',
    'This version of the daemon does not serve this RPC or field.',
    'Use a version that does.',
  ),
  IO_ERROR: row('INTERNAL', 'later', 'The disk failed to read or write.', 'Look at the disk.'),
  SOURCE_CHANGED: row(
    'ABORTED',
    'later',
    'The source changed while it was read.',
    'Stop the writer, then try again; or set `allow_in_use` where that is safe.',
  ),
  ...DAEMON_REASONS,
  ANSWER_TOO_LARGE: row(
    'RESOURCE_EXHAUSTED',
    'after a change',
    'The answer would be longer than the 4 MiB that clients accept.',
    'Ask for less: a smaller page, no backing chain, one item at a time.',
  ),
  WATCHER_TOO_SLOW: row(
    'ABORTED',
    'later',
    'The client reads a stream too slowly and fell too far behind.',
    'Watch again, and read faster or filter more.',
  ),
  CANCELLED: row(
    'CANCELLED',
    'no',
    'A caller cancelled the operation, or its last caller disconnected.',
    'Start it again if it is still wanted.',
  ),
  CALLER_DEADLINE: row(
    'DEADLINE_EXCEEDED',
    'after a change',
    "The caller's deadline passed before the work was done.",
    'Give a longer deadline, or detach.',
  ),
  NOT_CANCELLABLE: row(
    'FAILED_PRECONDITION',
    'later',
    'The operation is in a phase that must not be interrupted.',
    'Wait until it has finished.',
  ),
  NOT_AUTHENTICATED: row(
    'UNAUTHENTICATED',
    'after a change',
    'There is no client certificate, or none that is accepted; the message says why.',
    "Present a certificate of the daemon's authority that is valid now and names its holder.",
  ),
  METHOD_NOT_ALLOWED: row(
    'PERMISSION_DENIED',
    'no',
    'No role of the caller allows the RPC, or what it is asked for; the metadata names the caller.',
    'Use another identity, or have a role configured; `hostler auth check` explains.',
  ),
  UNKNOWN_REASON: row(
    'UNKNOWN',
    'no',
    'Another version of the daemon, before an update was reverted or on another host, named a reason that this one does not know. It is shown as that version named it, with its code.',
    'Look the reason up in the documentation of that version.',
  ),
  BUG: row('INTERNAL', 'no', 'The daemon did something that it should not.', "Report it with the daemon's log."),
} as const satisfies Record<string, ReasonRow>;

export type Reason = keyof typeof REASONS;

/** Whether this version knows the word as a reason. Only then can it be looked up in the table. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word);
}

/** Whether the fault lies with the daemon or its host, so that an operator should look. */
export function isInternal(reason: string): boolean {
  return isReason(reason) && REASONS[reason].code === 'INTERNAL';
}
