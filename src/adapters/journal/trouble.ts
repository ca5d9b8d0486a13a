/** What can go wrong with the disk below the journal. */
import { closeSync, openSync } from 'node:fs';
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
  const why = error instanceof Error ? error.message : String(error);
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

/** The system's own word for why the file cannot be opened, where SQLite says only that it cannot. */
export function withErrno(trouble: Trouble, path: string): Trouble {
  if (trouble.kind !== 'failing') return trouble;
  try {
    closeSync(openSync(path, 'r+'));
    return trouble;
  } catch (error) {
    return { ...trouble, why: `${trouble.why}: ${errnoOf(error) ?? String(error)}` };
  }
}
