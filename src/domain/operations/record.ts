import type { ImageAddress } from '../model/address.js';
import { HostlerError, type FieldViolation } from '../model/errors.js';
import { namedError } from '../model/reasons/named-elsewhere.js';
import type { OperationResult } from './results.js';
import type { SpanContext } from '../model/span.js';

export const OPERATION_STATES = ['QUEUED', 'RUNNING', 'CANCELLING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;

/**
 * UNKNOWN: another version of the daemon wrote the record, and this one does not know the state;
 * nothing acts on it.
 */
export type OperationState = (typeof OPERATION_STATES)[number] | 'UNKNOWN';

/** The allowed transitions between states. */
const NEXT: Readonly<Record<OperationState, readonly OperationState[]>> = {
  QUEUED: ['RUNNING', 'CANCELLING', 'FAILED'],
  RUNNING: ['CANCELLING', 'SUCCEEDED', 'FAILED'],
  // A cancel can come too late: the work was done, or had failed by itself.
  CANCELLING: ['CANCELLED', 'SUCCEEDED', 'FAILED'],
  SUCCEEDED: [],
  FAILED: [],
  CANCELLED: [],
  UNKNOWN: [],
};

/** Whether an operation in this state has ended. */
export function isFinal(state: OperationState): boolean {
  return NEXT[state].length === 0;
}

/** Fails with BUG if an operation cannot go from one state to the other. */
export function assertTransition(from: OperationState, to: OperationState): void {
  if (!NEXT[from].includes(to)) throw new HostlerError('BUG', `an operation went from ${from} to ${to}`);
}

export const OPERATION_PHASES = [
  'INSPECTING',
  'CREATING',
  'DOWNLOADING',
  'EXPANDING',
  'CONVERTING',
  'COPYING',
  'CLONING',
  'VERIFYING',
  'COMMITTING',
  'MODIFYING',
  'DELETING',
  'WALKING',
] as const;
export type OperationPhase = (typeof OPERATION_PHASES)[number];

/** Absolute counters; totals are unset while unknown, items are unset for verbs that count none. */
export interface Counters {
  readonly doneBytes: bigint;
  readonly totalBytes?: bigint;
  readonly skippedBytes: bigint;
  readonly doneItems?: bigint;
  readonly totalItems?: bigint;
}

export interface Progress extends Counters {
  readonly bytesPerSecond?: bigint;
  readonly etaMs?: number;
}

/** An attempt failed, and the work waits before the next one. */
export interface RetryWait {
  /** The number of the next attempt, from 2. */
  readonly attempt: number;
  /** The failure of the last attempt. */
  readonly error: StoredError;
  /** The earliest time of the next attempt, in ms since 1970. */
  readonly nextTime: number;
}

export const WARNINGS = [
  'SIZE_ROUNDED_UP',
  'CLEANUP_FAILED',
  'NAME_NOT_DURABLE',
  'RIGHTS_NOT_KEPT',
  'TRANSFER_RESTARTED',
  'TRAILING_DATA',
  'CHECKSUM_UNKNOWN',
  'ANSWER_LOST',
  'AFTERWARDS_FAILED',
  'TOOL_COMPLAINED',
  'NOT_REPAIRED',
  'SNAPSHOTS_ON_NEW_BASE',
  'IMAGE_CUT',
  'NEWER_RECORD',
] as const;

export interface Warning {
  readonly reason: (typeof WARNINGS)[number];
  readonly message: string;
}

/** Evidence that an operation took effect: the target's name leads to this file now, or to none. */
export interface Commit {
  readonly address: ImageAddress;
  /** Unset: the name was removed. */
  readonly made?: { readonly device: bigint; readonly inode: bigint };
  /**
   * The folder in which the name was changed; unset if it is not in a folder. In another folder the
   * name proves nothing.
   */
  readonly folder?: { readonly device: bigint; readonly inode: bigint };
  readonly result: OperationResult;
}

/** A HostlerError as stored: without its cause, which is in the log. */
export interface StoredError {
  /** A reason of this version, or of another version of the daemon. */
  readonly reason: string;
  /**
   * Shown by an older version that does not know the reason; unset in records of before it was
   * stored.
   */
  readonly code?: string;
  readonly message: string;
  readonly facts: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs?: number;
}

/** An operation at one moment. Serialisable; replaced, never changed. */
export interface OperationRecord {
  readonly id: string;
  readonly method: string;
  readonly caller: string;
  readonly requestId?: string;
  readonly labels: Readonly<Record<string, string>>;
  /**
   * For a shared operation: the labels of each sharer, without repetitions. `labels` are those of
   * the first.
   */
  readonly waiters?: readonly Readonly<Record<string, string>>[];
  readonly addresses: readonly ImageAddress[];
  readonly spec: object;
  readonly attempt: number;
  /** Its latest span; unset: it belongs to no trace. */
  readonly trace?: SpanContext;
  readonly createTime: number;
  readonly startTime?: number;
  readonly endTime?: number;
  /** Its place in the order of ends; set with a final state. */
  readonly endPlace?: string;
  readonly detached: boolean;
  readonly state: OperationState;
  readonly phase?: OperationPhase;
  readonly cancellable: boolean;
  readonly progress?: Progress | undefined;
  /** The running child, and what distinguishes it from a later process with the same pid. */
  readonly pid?: number | undefined;
  readonly pidStart?: string | undefined;
  /**
   * Written before the point of no return: it shows, after a crash, whether that point was passed,
   * and the result if it was.
   */
  readonly commit?: Commit;
  readonly queuePosition?: number | undefined;
  /** Unset while no retry is pending. */
  readonly retry?: RetryWait | undefined;
  readonly eventTime: number;
  readonly result?: OperationResult;
  readonly replayed?: boolean;
  readonly error?: StoredError;
  readonly warnings: readonly Warning[];
}

/**
 * A record whose work is over: no child, no place in the queue, nothing left to cancel. The caller
 * sets its final state.
 */
export function atRest(record: OperationRecord, now: number): OperationRecord {
  const nothing = { pid: undefined, pidStart: undefined, queuePosition: undefined, retry: undefined };
  return { ...record, ...nothing, endTime: now, eventTime: now, cancellable: false };
}

/** The error as stored in a record, without cause and stack. */
export function storeError(error: HostlerError): StoredError {
  const { shown, message, facts, violations, retryAfterMs } = error;
  return { ...shown, message, facts, violations, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** The stored error as an error, also if this version does not have its reason. */
export function restoreError(stored: StoredError): HostlerError {
  const { reason, code, message, ...facts } = stored;
  return namedError({ reason, code }, message, facts);
}
