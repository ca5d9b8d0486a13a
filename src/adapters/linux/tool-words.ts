import { ERRNOS } from './errno-table.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

/** Reasons that a tool's last sentence proves: they are about the disk, whatever the tool did. */
const OF_DISKS: readonly Reason[] = ['NO_SPACE', 'ROOT_READ_ONLY', 'ACCESS_DENIED'];
/**
 * Single errnos that also prove it; other errnos with the same reason can be about a tool's memory,
 * arguments or sockets.
 */
const OF_DISKS_TOO = [
  ...['EIO', 'EREMOTEIO', 'EUCLEAN', 'EBADMSG', 'ENODATA', 'EHWPOISON'],
  ...['ESTALE', 'ENOTCONN', 'EHOSTDOWN', 'ENODEV', 'ENOMEDIUM'],
  ...['ETXTBSY', 'EBUSY', 'EMFILE', 'ENFILE', 'ENOMEM', 'EFBIG'],
];

const REASONS = new Map(
  ERRNOS.flatMap(([, name, sentence, reason]) =>
    OF_DISKS.includes(reason) || OF_DISKS_TOO.includes(name) ? [[sentence, reason] as const] : [],
  ),
);

/**
 * The end of a tool's line: `tool: what it did: SENTENCE`, `… (SENTENCE)`, or `… (28)` after it. A
 * path may contain anything.
 */
const SENTENCE = new RegExp(`(?:^|: |\\()(${[...REASONS.keys()].join('|')})(?:\\)|\\.)?(?: \\(\\d+\\))?$`, 'gm');

/**
 * What qemu-img 7.2 (qemu-img.c: img_rebase, img_compare) prints for a failed read, without the
 * system's sentence.
 */
const UNNAMED = /^qemu-img: (?:error while reading from (?:old|new) backing file$|Sector allocation test failed for )/m;

/**
 * The reason that a tool's output gives about the disk: the last line that ends with a system
 * error's sentence (LC_ALL=C); unset: none.
 */
export function toolReason(stderr: string): Reason | undefined {
  const last = [...stderr.matchAll(SENTENCE)].at(-1)?.[1];
  if (last === undefined) return UNNAMED.test(stderr) ? 'IO_ERROR' : undefined;
  return REASONS.get(last);
}
