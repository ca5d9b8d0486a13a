/** Operations as messages. */
import { uint64 } from '../domain/model/numbers.js';
import * as domain from '../domain/operations/record.js';
import { Status } from '../gen/google/rpc/status.js';
import {
  OperationPhase,
  OperationResult,
  OperationState,
  Progress,
  Retry,
  type Operation,
  type OperationEvent,
  type Warning,
} from '../gen/hostler/v1/operation.js';
import type { WatchOperationsResponse } from '../gen/hostler/v1/operation_service.js';
import { durationOf, timeOfMs } from '../protocol/times.js';
import { operationResult } from './operation-results.js';
import { Parts, allTexts, asText, asUint32, asWarning, encodeWarnings, wordOf } from './parts.js';
import { storedStatus } from './status.js';

const STATES: Readonly<Record<domain.OperationState, OperationState>> = {
  QUEUED: OperationState.OPERATION_STATE_QUEUED,
  RUNNING: OperationState.OPERATION_STATE_RUNNING,
  CANCELLING: OperationState.OPERATION_STATE_CANCELLING,
  SUCCEEDED: OperationState.OPERATION_STATE_SUCCEEDED,
  FAILED: OperationState.OPERATION_STATE_FAILED,
  CANCELLED: OperationState.OPERATION_STATE_CANCELLED,
  UNKNOWN: OperationState.OPERATION_STATE_UNSPECIFIED,
};

const PHASES: Readonly<Record<domain.OperationPhase, OperationPhase>> = {
  INSPECTING: OperationPhase.OPERATION_PHASE_INSPECTING,
  CREATING: OperationPhase.OPERATION_PHASE_CREATING,
  DOWNLOADING: OperationPhase.OPERATION_PHASE_DOWNLOADING,
  EXPANDING: OperationPhase.OPERATION_PHASE_EXPANDING,
  CONVERTING: OperationPhase.OPERATION_PHASE_CONVERTING,
  COPYING: OperationPhase.OPERATION_PHASE_COPYING,
  CLONING: OperationPhase.OPERATION_PHASE_CLONING,
  VERIFYING: OperationPhase.OPERATION_PHASE_VERIFYING,
  COMMITTING: OperationPhase.OPERATION_PHASE_COMMITTING,
  MODIFYING: OperationPhase.OPERATION_PHASE_MODIFYING,
  DELETING: OperationPhase.OPERATION_PHASE_DELETING,
  WALKING: OperationPhase.OPERATION_PHASE_WALKING,
};

/** A state on the wire. */
export function stateOnWire(state: domain.OperationState): OperationState {
  return STATES[state];
}

/** The domain's word for a state on the wire; undefined for an unknown number. */
export function stateOffWire(state: number): domain.OperationState | undefined {
  return domain.OPERATION_STATES.find((name) => number(STATES[name]) === state);
}

/** Widens the enum to a number, because any number may arrive over the wire. */
const number = (state: OperationState): number => state;

/**
 * An event for the call that has started the operation: a part that cannot be sent fails that call.
 * All other callers get `shownEvent`.
 */
export function operationEvent(record: domain.OperationRecord): OperationEvent {
  return event(record, new Parts('whole'));
}

/**
 * An event for callers that watch operations: a part that cannot be sent is left out and named, so
 * that one operation never hides the others.
 */
export function shownEvent(record: domain.OperationRecord): OperationEvent {
  return event(record, new Parts('what can be sent'));
}

/** An operation for callers that look at operations. */
export function operation(
  record: domain.OperationRecord,
  kept: { readonly bytes: bigint; readonly expireMs: number } | undefined,
): Operation {
  const parts = new Parts('what can be sent');
  return {
    operationId: record.id,
    ...askedOf(record, parts),
    createTime: timeOfMs(record.createTime),
    startTime: timeOfMs(record.startTime),
    endTime: timeOfMs(record.endTime),
    detached: record.detached,
    attempt: parts.take('attempt', () => asUint32(record.attempt)) ?? 0,
    last: shownEvent(record),
    warnings: warningsOf(record, parts),
    kept: kept && { bytes: uint64(kept.bytes), expireTime: timeOfMs(kept.expireMs) },
    notShown: parts.notShown,
  };
}

/** An event of one of many operations, for callers that watch them. */
export function changeOf(record: domain.OperationRecord): Omit<WatchOperationsResponse, 'cursor'> {
  const parts = new Parts('what can be sent');
  return { event: shownEvent(record), ...askedOf(record, parts), notShown: parts.notShown };
}

/** The request, and its caller. */
function askedOf(record: domain.OperationRecord, parts: Parts) {
  return {
    method: parts.text('method', () => record.method) ?? '',
    caller: parts.text('caller', () => record.caller) ?? '',
    requestId: parts.text('request_id', () => record.requestId ?? '') ?? '',
    labels: parts.take('labels', () => allTexts({ ...record.labels })) ?? {},
    addresses: parts.take('addresses', () => record.addresses.map(asText)) ?? [],
  };
}

function warningsOf({ warnings }: domain.OperationRecord, parts: Parts): Warning[] {
  return parts.message('warnings', () => warnings.map(asWarning), encodeWarnings) ?? [];
}

function event(record: domain.OperationRecord, parts: Parts): OperationEvent {
  const { phase, progress: counters, retry, result, error, replayed = false } = record;
  return {
    operationId: record.id,
    state: parts.take('state', () => wordOf(STATES, record.state)) ?? OperationState.OPERATION_STATE_UNSPECIFIED,
    phase: (phase && parts.take('phase', () => wordOf(PHASES, phase))) ?? OperationPhase.OPERATION_PHASE_UNSPECIFIED,
    progress:
      counters &&
      parts.message(
        'progress',
        () => progress(counters),
        (message) => Progress.encode(message),
      ),
    eventTime: timeOfMs(record.eventTime),
    pid: parts.take('pid', () => record.pid && asUint32(record.pid)),
    queuePosition: parts.take('queue_position', () => record.queuePosition && asUint32(record.queuePosition)),
    cancellable: record.cancellable,
    retry:
      retry &&
      parts.message(
        'retry',
        () => retryOnWire(retry),
        (message) => Retry.encode(message),
      ),
    result:
      result &&
      parts.message(
        'result',
        () => ({ result: operationResult(result), replayed }),
        (message) => OperationResult.encode(message),
      ),
    error:
      error &&
      parts.message(
        'error',
        () => storedStatus(error),
        (message) => Status.encode(message),
      ),
    warnings: warningsOf(record, parts),
    notShown: parts.notShown,
  };
}

function retryOnWire({ attempt, error, nextTime }: domain.RetryWait): Retry {
  return { attempt: asUint32(attempt), error: storedStatus(error), nextTime: timeOfMs(nextTime) };
}

function progress({ etaMs, ...counters }: domain.Progress): Progress {
  return {
    totalBytes: undefined,
    doneItems: undefined,
    totalItems: undefined,
    bytesPerSecond: undefined,
    ...counters,
    eta: etaMs === undefined ? undefined : durationOf(etaMs),
  };
}
