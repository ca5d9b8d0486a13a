import { row, type ReasonRow } from './reason-row.js';

/** Part of the table of reasons: an image and the layers below it. */
export const LAYER_REASONS = {
  BASE_SIZE_DIFFERS: row(
    'FAILED_PRECONDITION',
    'after a change',
    "A guest's qemu, which opens the base of its disk by itself, would take it for a disk of another size: a VHD whose geometry is not its size.",
    'Convert the base, to qcow2 or raw, and use that.',
  ),
  BASE_LARGER: row(
    'FAILED_PRECONDITION',
    'after a change',
    "The base's virtual size is more than that of the image on it: the guest would see its disk cut.",
    'Resize the image first, or make the overlay at least as large as its base.',
  ),
  LAYER_NOT_FOUND: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image has no layer below it to write into: it has no backing file, or `base` is none of its layers.',
    'Look at its chain with GetImageInfo, and name one of its layers.',
  ),
  BASE_HAS_BACKING_FILE: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The base of a new overlay has a backing file itself, and the request does not say that a chain is meant.',
    'Set allow_chain, or name a base without a backing file.',
  ),
} as const satisfies Record<string, ReasonRow>;
