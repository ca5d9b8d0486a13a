import { row, type ReasonRow } from './reason-row.js';

/** Part of the table of reasons: failures of work on folders and names. */
export const TREE_REASONS = {
  NOT_A_DIRECTORY: row(
    'FAILED_PRECONDITION',
    'after a change',
    'Something that is no folder is where a folder is expected. A link is no folder.',
    'Name a folder; DeleteFile removes files and links.',
  ),
  DIRECTORY_NOT_EMPTY: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The folder is not empty, and the request does not say that its content goes too.',
    'Set `recursive`, or remove what is in it first.',
  ),
  DIRECTORY_RESERVED: row(
    'FAILED_PRECONDITION',
    'no',
    'The folder is a root, or it holds a root or a folder that the daemon keeps for itself.',
    'Name a folder inside the root.',
  ),
  OTHER_FILESYSTEM: row(
    'FAILED_PRECONDITION',
    'after a change',
    'Another filesystem is mounted in the folder, or both names lie on different filesystems.',
    'Unmount it, or copy the image with CopyImage.',
  ),
  BASE_NAMED_RELATIVELY: row(
    'FAILED_PRECONDITION',
    'after a change',
    'An image names its backing file relative to its own folder, and would not find it in another one.',
    'Give it an absolute name with RebaseImage, or move the folder that holds both.',
  ),
} as const satisfies Record<string, ReasonRow>;
