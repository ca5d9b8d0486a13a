import { ERRNOS } from './errno-table.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

/**
 * Reasons that a tool's last sentence proves: they are about the disk, whatever the tool did there.
 */
const OF_DISKS: readonly Reason[] = ['NO_SPACE', 'ROOT_READ_ONLY', 'ACCESS_DENIED'];
/**
 * The same of single errnos, whose reason others share that a tool also says of its own memory, its
 * arguments, its sockets.
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
 * As tools end their lines: `tool: what it did: SENTENCE`, `… (SENTENCE)`, or `… (28)` after it. A
 * path may hold anything.
 */
const SENTENCE = new RegExp(`(?:^|: |\\()(${[...REASONS.keys()].join('|')})(?:\\)|\\.)?(?: \\(\\d+\\))?$`, 'gm');

/**
 * What qemu-img 7.2 (qemu-img.c: img_rebase, img_compare) says of a read that failed: it leaves the
 * system's sentence out.
 */
const UNNAMED = /^qemu-img: (?:error while reading from (?:old|new) backing file$|Sector allocation test failed for )/m;

/**
 * What a tool's words say of the disk, by the last sentence of the system (LC_ALL=C) that ends a
 * line; unset: nothing.
 */
export function toolReason(stderr: string): Reason | undefined {
  const last = [...stderr.matchAll(SENTENCE)].at(-1)?.[1];
  if (last === undefined) return UNNAMED.test(stderr) ? 'IO_ERROR' : undefined;
  return REASONS.get(last);
}
