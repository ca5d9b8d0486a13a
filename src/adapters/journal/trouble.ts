/** What can go wrong with the disk below the journal. */
import { closeSync, openSync } from 'node:fs';
import { whyRefused } from '../../domain/own-files.js';
import { errnoOf } from '../errno.js';
import { JournalDamaged, JournalForeign } from './schema.js';

/**
 * damaged: the file does not hold what was written into it. foreign: it is not ours. Everything else passes: the disk is full, fails,
 * is read-only, is closed to us, or has not answered for a long time.
 */
export type TroubleKind = 'damaged' | 'foreign' | 'full' | 'failing' | 'hangs' | 'busy' | 'bug';

/** Can be sent to another thread. */
export interface Trouble {
  readonly kind: TroubleKind;
  readonly why: string;
}

/** Primary result codes of SQLite. */
const CODES: Readonly<Record<number, TroubleKind>> = {
  5: 'busy',
  6: 'busy',
  8: 'failing', // READONLY
  10: 'failing', // IOERR
  11: 'damaged', // CORRUPT
  13: 'full',
  14: 'failing', // CANTOPEN
  26: 'damaged', // NOTADB
};

export function troubleOf(error: unknown): Trouble {
  const why = whyOf(error);
  if (error instanceof JournalDamaged) return { kind: 'damaged', why };
  if (error instanceof JournalForeign) return { kind: 'foreign', why };
  const errno = errnoOf(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return { kind: 'full', why };
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  if (typeof code === 'number') {
    const kind = CODES[code & 0xff] ?? 'bug';
    return { kind, why: `${why} (SQLite ${String(code)})` };
  }
  return { kind: errno === undefined || errno.startsWith('ERR_') ? 'bug' : 'failing', why };
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const refused = whyRefused(error);
  const file = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  return refused === undefined ? error.message : `${file}${refused}`;
}

/** What the operator can do where no error of the system says it. */
export function adviceOn({ kind, why }: Trouble): string {
  if (why.includes('; ') || (kind !== 'full' && kind !== 'failing')) return '';
  return kind === 'full'
    ? '; make room on its filesystem'
    : '; its disk or filesystem fails: see the log of the kernel';
}

/** The system's own word for why the file cannot be opened, where SQLite says only that it cannot. */
export function withErrno(trouble: Trouble, path: string): Trouble {
  if (trouble.kind !== 'failing') return trouble;
  try {
    closeSync(openSync(path, 'r+'));
    return trouble;
  } catch (error) {
    return { ...trouble, why: `${trouble.why}: ${whyRefused(error) ?? String(error)}` };
  }
}
