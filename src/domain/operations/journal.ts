import { asHostlerError } from '../model/errors.js';
import type { FileIdentity } from '../ports/handles.js';
import type { OperationRecord } from './record.js';

/**
 * For writes that need no wait: if the journal cannot be written now it is written later, and until
 * then it is outdated but not wrong. Fails with all other errors.
 */
export async function nowOrLater(writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (asHostlerError(error).reason !== 'STATE_UNAVAILABLE') throw error;
  }
}

/** Scope of a request id. */
export interface RequestKey {
  readonly caller: string;
  readonly method: string;
  readonly requestId: string;
}

/** A property by which operations are searched; `reason` is that of a failure. */
export type Trait =
  | { readonly kind: 'state' | 'method' | 'caller' | 'requestId' | 'reason'; readonly value: string }
  | { readonly kind: 'label'; readonly key: string; readonly value: string };

/** Operations that have at least one trait of each group. No group: all. */
export type TraitFilter = readonly (readonly Trait[])[];

/** Ids between two others, in one of the two orders. */
export interface Span {
  /** Empty: from the first one. */
  readonly after: string;
  /** Empty: to the last one. */
  readonly before: string;
  readonly newestFirst: boolean;
}

/** All ids, oldest first. */
export const ALL: Span = { after: '', before: '', newestFirst: false };

/** The rest of a span after one of its ids. */
export function restOf(span: Span, id: string): Span {
  return span.newestFirst ? { ...span, before: id } : { ...span, after: id };
}

/** Whether an id lies in a span, up to the reached id; unset: in all of the span. */
export function isPassed(id: string, { after, before, newestFirst }: Span, reached: string | undefined): boolean {
  if (id <= after || (before !== '' && id >= before)) return false;
  return reached === undefined || (newestFirst ? id >= reached : id <= reached);
}

/** Records in the order of the span. */
export function inOrder(records: Iterable<OperationRecord>, { newestFirst }: Span): OperationRecord[] {
  return [...records].sort((a, b) => (a.id < b.id === newestFirst ? 1 : -1));
}

export interface RecordPage {
  /** In the order of the span. The caller skips records that do not have the traits. */
  readonly records: readonly OperationRecord[];
  /**
   * This page has all matches up to this id; the next one begins after it. Unset: there are no
   * more.
   */
  readonly reached: string | undefined;
}

/** Operations that have ended, in the order of their places. */
export interface EndedPage {
  readonly records: readonly OperationRecord[];
  /** This page has all matches up to this place. Unset: there are no more. */
  readonly reached: string | undefined;
}

/** The latest operation that created a file. */
export interface Maker extends Pick<OperationRecord, 'id' | 'caller' | 'labels' | 'addresses'> {
  readonly made: FileIdentity;
  /** When it ended; unset: it has not. A file that was created later is another one. */
  readonly endTime?: number;
}

/** The creator of the file of a committed operation; undefined: it created none. */
export function makerIn(record: OperationRecord): Maker | undefined {
  const { id, caller, labels, addresses, endTime, commit } = record;
  if (commit?.made === undefined || NOT_MADE.includes(commit.result.kind)) return undefined;
  return { id, caller, labels, addresses, made: commit.made, ...(endTime === undefined ? {} : { endTime }) };
}

/** Kinds of results whose file existed before. */
export const NOT_MADE: readonly string[] = ['move'];

/** Stores operations. Ids are ULIDs, so they sort by time. */
export interface Journal {
  /** The number of this life of the daemon, greater than all earlier ones. */
  readonly life: number;
  /** Fails with STATE_UNAVAILABLE while nothing can be written: then no new work may begin. */
  assertWritable(): Promise<void>;
  /**
   * Adds or replaces a record; durable when resolved, as far as this journal is durable. Fails with
   * STATE_UNAVAILABLE: the journal then answers as if the record were written, and writes it as
   * soon as possible.
   */
  put(record: OperationRecord): Promise<void>;
  /**
   * As `put`, for a record that need not be durable at once: the next write carries it, after a
   * moment it is written alone. Records are written in the order of the calls.
   */
  putSoon(record: OperationRecord): Promise<void>;
  /**
   * Discards a record that was, or may have been, put: the request was refused and is not an
   * operation.
   */
  forget(id: string): void;
  get(id: string): Promise<OperationRecord | undefined>;
  /** The latest operation with this request id. */
  findRequest(key: RequestKey): Promise<OperationRecord | undefined>;
  /** Operations that an earlier daemon left unfinished. */
  unfinished(): Promise<readonly OperationRecord[]>;
  /** At most `limit` records of the span; a page may be shorter although there are more. */
  page(wanted: TraitFilter, span: Span, limit: number): Promise<RecordPage>;
  /**
   * At most `limit` operations that ended after one place and up to another; a page may be shorter
   * although there are more. Undefined: the history does not go back to that place.
   */
  ended(wanted: TraitFilter, behind: string, upTo: string, limit: number): Promise<EndedPage | undefined>;
  /** For each file the operation that created it, if one has succeeded. In any order. */
  makersOf(files: readonly FileIdentity[]): Promise<readonly Maker[]>;
}
