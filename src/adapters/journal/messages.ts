/** Messages between the main thread and the journal's thread. */
import type { MovedAside } from './opening.js';
import type { Maker } from '../../domain/operations/journal.js';
import type { HistoryLimits } from './pruning.js';
import type { EndedSearch, EntryKind, JournalRow, SetAside, Write, FoundRows, OperationSearch } from './rows.js';
import type { Trouble } from './trouble.js';

export interface ThreadJob {
  readonly path: string;
  readonly countFile: string;
  readonly limits: HistoryLimits;
}

export type Question =
  | { readonly ask: 'open' }
  | { readonly ask: 'write'; readonly writes: readonly Write[]; readonly now: number }
  | { readonly ask: 'operation'; readonly id: string }
  | { readonly ask: 'request'; readonly text: string }
  | { readonly ask: 'unfinished' }
  | { readonly ask: 'entries'; readonly kind: EntryKind }
  | { readonly ask: 'search'; readonly look: OperationSearch }
  | { readonly ask: 'ended'; readonly look: EndedSearch }
  | { readonly ask: 'makers'; readonly made: readonly string[] }
  | { readonly ask: 'mend' }
  /** The daemon has finished its work after the journal was moved aside. */
  | { readonly ask: 'settled' }
  | { readonly ask: 'close' };

export type Asked = Question & { readonly number: number };

/** Events that are reported along with an answer. */
export interface News {
  /** Records that were found unreadable. */
  readonly aside?: readonly SetAside[];
  /** Total number of unreadable records. */
  readonly asideCount?: number;
  /** The journal was damaged and has been made again. */
  readonly moved?: MovedAside;
  /** Size of the file and its log after a change. */
  readonly sizeBytes?: number;
  /** Old operations cannot be forgotten, or damage cannot be looked for, now. */
  readonly failed?: Trouble;
}

export interface JournalAnswer extends News {
  /** Unset if this is not the answer to a question. */
  readonly number?: number;
  readonly trouble?: Trouble;
  /** Answer to 'open': the number of this life of the daemon. */
  readonly life?: number;
  /**
   * Answer to 'search', and to 'ended'; for 'ended' unset if the history does not go back so far.
   */
  readonly found?: FoundRows;
  readonly rows?: readonly JournalRow[];
  readonly makers?: readonly Maker[];
}
