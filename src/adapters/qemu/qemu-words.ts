import type { Reason } from '../../domain/model/reasons/reasons.js';

type Meaning = readonly [RegExp, Reason];

/**
 * For these messages nothing else in the output matters, not even a system error: qemu invents one
 * for them.
 */
const OF_THE_STATE: readonly Meaning[] = [
  [/Parameter '' is required for cipher|Invalid password|cannot unlock any keyslot/i, 'SECRET_REQUIRED'],
  [
    /Image is corrupt; cannot be opened|needs to be replayed|qemu-img check -r|was not closed (?:correctly|cleanly)/i,
    'IMAGE_NEEDS_REPAIR',
  ],
  [/force-remove|Snapshot table is corrupt|Journal.* not supported|is dirty, Replaying/i, 'IMAGE_NEEDS_REPAIR'],
  [/Marking image as corrupt|Image is corrupt|Image corrupted/i, 'IMAGE_MALFORMED'],
  [/after (?:the )?end of (?:the )?file|(?:has|have|been|is|image) (?:probably been )?truncated/i, 'IMAGE_MALFORMED'],
  [
    /File truncated, expecting|too small for a VHD|Bitmap '' does(?:n't| not) satisfy the constraints|File is too small, not a valid|smaller or equal to the \s*actual size of the containing file/i,
    'IMAGE_MALFORMED',
  ],
  // qemu cannot read a table whose entries point beyond the file, or fails on an entry that it
  // trusted.
  [
    /bitmaps_ext: |bitmaps extension with zero|(?:Broken|Can't update|Cannot update) bitmap directory/i,
    'IMAGE_MALFORMED',
  ],
  [/(?:^|\s)\S*block\/(?:io|qcow|qed|vmdk|vdi|vpc|vhdx|parallels)[\w-]*\.c:\d+: [^\n]*Assertion /, 'IMAGE_MALFORMED'],
  [/module block-block-dmg-\w+ not found[^]*error while reading[^\n]*: Input\/output error/, 'UNSUPPORTED_BY_BACKEND'],
];

/** Messages that are considered only if the output has no system error. */
const OF_THE_FORMAT: readonly Meaning[] = [
  [
    /Image not in \w+ format|not in .* format|signature.* (?:missing|mismatch)|not a valid \w+ image/i,
    'IMAGE_MALFORMED',
  ],
  [
    /\binvalid (?:VPC|VMDK|VDI|image|header|footer|magic|cluster|extent|refcount|block size|backing file (?:offset|size))/i,
    'IMAGE_MALFORMED',
  ],
  [
    /\b(?:corrupt|corrupted|malformed|overlap(?:s|ping)?|misaligned|not (?:cluster |properly )?aligned)\b/i,
    'IMAGE_MALFORMED',
  ],
  [
    /(?:L1|L2|page|grain|refcount|snapshot|block) (?:table|size|entry)[^\n]*(?:too (?:small|large|big)|invalid)/i,
    'IMAGE_MALFORMED',
  ],
  [/Catalog|Max Table Entries|Too many blocks|does not contain a reference count table/i, 'IMAGE_MALFORMED'],
  [
    /Format Extension|Could not read bitmap|Failed to read bitmap|Could not read file metadata: Invalid/i,
    'IMAGE_MALFORMED',
  ],
  [/Bitmap (?:table size|extra data|name)|Bitmaps feature|Bitmap Feature area|Feature data_size/i, 'IMAGE_MALFORMED'],
  [/CRYPTO header|encryption header|Request for data outside of extension header|LUKS header/i, 'IMAGE_MALFORMED'],
  [/QED [^\n]* (?:is|are) (?:invalid|too large)|Header extension too large|extra metadata/i, 'IMAGE_MALFORMED'],
  [
    /has snapshots|snapshots? prevent|dirty bitmaps?|bitmaps? .*(?:in use|readonly|inconsistent|loaded)/i,
    'UNSUPPORTED_BY_BACKEND',
  ],
  [
    /size is too (?:large|big)|too large for|Image size|exceeds? .*maximum|max size is|max of/i,
    'UNSUPPORTED_BY_BACKEND',
  ],
  [
    /Unknown (?:driver|file format)|does(?: not|n't) support|not supported|only supported with/i,
    'UNSUPPORTED_BY_BACKEND',
  ],
  [/Unsupported|Can(?:'t|not) (?:resize|store|downgrade|amend|be opened)/i, 'UNSUPPORTED_BY_BACKEND'],
  // Drivers that give no detail about an invalid header, table or cluster.
  [
    /Could not open ''(?:: Could not open '')?: Invalid argument|error while reading[^\n]*: Invalid argument/i,
    'IMAGE_MALFORMED',
  ],
];

/** Removes names, which the caller chose: text in them is not from qemu. */
function withoutNames(stderr: string): string {
  return stderr.replaceAll(/json:\{[^\n]*\}(?=')/g, '').replaceAll(/'[^'\n]*'/g, "''");
}

function first(meanings: readonly Meaning[], text: string): Reason | undefined {
  return meanings.find(([pattern]) => pattern.test(text))?.[1];
}

/**
 * What is wrong with the image, whatever system error was reported; undefined if no known message
 * matches.
 */
export function stateOfImage(stderr: string): Reason | undefined {
  return first(OF_THE_STATE, withoutNames(stderr));
}

/**
 * What the format does not support; undefined if no known message matches. Call it only if the
 * output has no system error.
 */
export function limitOfFormat(stderr: string): Reason | undefined {
  return first(OF_THE_FORMAT, withoutNames(stderr));
}
