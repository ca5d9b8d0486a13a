/** Failures of the disk below the journal. */
import { closeSync, openSync } from 'node:fs';
import { whyRefused } from '../../domain/model/own-files.js';
import { isThere } from '../../file-io/look.js';
import { errnoOf } from '../linux/errno.js';
import { JournalDamaged, JournalForeign } from './schema.js';

/**
 * damaged: the file does not hold what was written; every contradiction that no other kind
 * explains. foreign: the file is not ours. All other kinds can pass: the disk is full, fails, is
 * read-only, denies access, or has not answered for a long time.
 */
export type TroubleKind = 'damaged' | 'foreign' | 'full' | 'failing' | 'hangs' | 'busy' | 'bug';

/** Plain data, which can be sent to another thread. */
export interface Trouble {
  readonly kind: TroubleKind;
  readonly why: string;
}

/**
 * Primary result codes of SQLite. A code that is not listed means that the facts in the file
 * contradict each other, because the statements here are valid and use only names that exist.
 */
const CODES: Readonly<Record<number, TroubleKind>> = {
  3: 'failing', // PERM
  4: 'failing', // ABORT
  5: 'busy',
  6: 'busy',
  7: 'failing', // NOMEM
  8: 'failing', // READONLY
  9: 'failing', // INTERRUPT
  10: 'failing', // IOERR
  13: 'full',
  14: 'failing', // CANTOPEN
  15: 'busy', // PROTOCOL
  21: 'bug', // MISUSE
  22: 'failing', // NOLFS
  23: 'failing', // AUTH
  25: 'bug', // RANGE
};
/** Node's code for a number that no column can hold. */
const TOO_LARGE = 'ERR_OUT_OF_RANGE';

/**
 * Classifies an error of the journal: by our own error classes, then errno, then SQLite's result
 * code. Errors of no known kind are `bug`.
 */
export function troubleOf(error: unknown): Trouble {
  const why = whyOf(error);
  if (error instanceof JournalDamaged) return { kind: 'damaged', why };
  if (error instanceof JournalForeign) return { kind: 'foreign', why };
  const errno = errnoOf(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return { kind: 'full', why };
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  if (typeof code === 'number') {
    const kind = CODES[code & 0xff] ?? 'damaged';
    return { kind, why: `${why} (SQLite ${String(code)})` };
  }
  if (errno === TOO_LARGE) return { kind: 'damaged', why };
  return { kind: errno === undefined || errno.startsWith('ERR_') ? 'bug' : 'failing', why };
}

const OF_SQLITE = /\(SQLite \d+\)$/;

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const refused = whyRefused(error);
  const file = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  return refused === undefined ? error.message : `${file}${refused}`;
}

/** What the operator can do, for failures without a system error that explains it. */
export function adviceOn({ kind, why }: Trouble): string {
  if (why.includes('; ') || (kind !== 'full' && kind !== 'failing')) return '';
  return kind === 'full'
    ? '; make room on its filesystem'
    : '; its disk or filesystem fails: see the log of the kernel';
}

/**
 * Adds the system's error code of opening the file or its log, for which SQLite has only one
 * general code.
 */
export function withErrno(trouble: Trouble, path: string): Trouble {
  if (trouble.kind !== 'failing' || !OF_SQLITE.test(trouble.why)) return trouble;
  const refused = whyClosed(path) ?? (isThere(`${path}-wal`) ? whyClosed(`${path}-wal`) : undefined);
  return refused === undefined ? trouble : { ...trouble, why: `${trouble.why}: ${refused}` };
}

/** Why a file cannot be opened for writing; undefined: it can. */
function whyClosed(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'r+'));
    return undefined;
  } catch (error) {
    return whyOf(error);
  }
}
