import { asHostlerError } from '../model/errors.js';
import type { FileIdentity } from '../ports/handles.js';
import type { OperationRecord } from './record.js';

/**
 * For what nobody has to wait for: when the journal cannot be written now it is written later, and
 * what it says until then is old but not wrong. Fails with everything else.
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

/** Something that an operation may have; a reason is that of its failure. */
export type Trait =
  | { readonly kind: 'state' | 'method' | 'caller' | 'requestId' | 'reason'; readonly value: string }
  | { readonly kind: 'label'; readonly key: string; readonly value: string };

/** Operations that have one trait at least of each group. No group: all. */
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

/** What is left of a span behind an id of it. */
export function restOf(span: Span, id: string): Span {
  return span.newestFirst ? { ...span, before: id } : { ...span, after: id };
}

/** Whether an id lies in a span, up to the id that was reached; unset: all of the span. */
export function isPassed(id: string, { after, before, newestFirst }: Span, reached: string | undefined): boolean {
  if (id <= after || (before !== '' && id >= before)) return false;
  return reached === undefined || (newestFirst ? id >= reached : id <= reached);
}

/** Records in the order of the span. */
export function inOrder(records: Iterable<OperationRecord>, { newestFirst }: Span): OperationRecord[] {
  return [...records].sort((a, b) => (a.id < b.id === newestFirst ? 1 : -1));
}

export interface RecordPage {
  /** In the order of the span. The caller skips those that do not have the traits. */
  readonly records: readonly OperationRecord[];
  /**
   * All that are wanted up to this id are in this page; the next one begins behind it. Unset: there
   * are no more.
   */
  readonly reached: string | undefined;
}

/** Operations that have ended, in the order of their places. */
export interface EndedPage {
  readonly records: readonly OperationRecord[];
  /** All that are wanted up to this place are in this page. Unset: there are no more. */
  readonly reached: string | undefined;
}

/** The latest operation that made a file. */
export interface Maker extends Pick<OperationRecord, 'id' | 'caller' | 'labels' | 'addresses'> {
  readonly made: FileIdentity;
  /** When it ended; unset: it has not. A file that was born later is another one. */
  readonly endTime?: number;
}

/** What made the file of an operation that was committed; undefined: it made none. */
export function makerIn(record: OperationRecord): Maker | undefined {
  const { id, caller, labels, addresses, endTime, commit } = record;
  if (commit?.made === undefined || NOT_MADE.includes(commit.result.kind)) return undefined;
  return { id, caller, labels, addresses, made: commit.made, ...(endTime === undefined ? {} : { endTime }) };
}

/** Kinds of results of what had been there before. */
export const NOT_MADE: readonly string[] = ['move'];

/** Where operations are kept. Ids are ULIDs, so their order is the order of time. */
export interface Journal {
  /** The number of this life of the daemon, greater than those of the ones before. */
  readonly life: number;
  /** Fails with STATE_UNAVAILABLE while nothing can be written: nothing new may begin. */
  assertWritable(): Promise<void>;
  /**
   * Adds or replaces; durable, as far as this journal is durable at all, when resolved. Fails with
   * STATE_UNAVAILABLE: then this journal answers as if it were written, and it is written as soon
   * as that is possible.
   */
  put(record: OperationRecord): Promise<void>;
  /** What was put, or may have been, is not kept: it was refused, and is no operation. */
  forget(id: string): void;
  get(id: string): Promise<OperationRecord | undefined>;
  /** The latest operation under this request id. */
  findRequest(key: RequestKey): Promise<OperationRecord | undefined>;
  /** What a daemon before us left behind. */
  unfinished(): Promise<readonly OperationRecord[]>;
  /** At most so many of the span; a page may be shorter although there are more. */
  page(wanted: TraitFilter, span: Span, limit: number): Promise<RecordPage>;
  /**
   * At most so many of those that have ended behind one place and up to another; a page may be
   * shorter although there are more. Undefined: the history does not go back to that place.
   */
  ended(wanted: TraitFilter, behind: string, upTo: string, limit: number): Promise<EndedPage | undefined>;
  /** Of each file the operation that made it, where one has succeeded. In any order. */
  makersOf(files: readonly FileIdentity[]): Promise<readonly Maker[]>;
}
