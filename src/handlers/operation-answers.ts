/** Operations as messages. */
import type * as domain from '../domain/operations/record.js';
import {
  OperationPhase,
  OperationState,
  type KeptWork,
  type Operation,
  type OperationEvent,
  type OperationResult,
  type Progress,
} from '../gen/hostler/v1/operation.js';
import { imageInfo, imageSnapshot } from './image-answers.js';
import { toStatus } from './status.js';

const STATES: Readonly<Record<domain.OperationState, OperationState>> = {
  QUEUED: OperationState.OPERATION_STATE_QUEUED,
  RUNNING: OperationState.OPERATION_STATE_RUNNING,
  CANCELLING: OperationState.OPERATION_STATE_CANCELLING,
  SUCCEEDED: OperationState.OPERATION_STATE_SUCCEEDED,
  FAILED: OperationState.OPERATION_STATE_FAILED,
  CANCELLED: OperationState.OPERATION_STATE_CANCELLED,
};

const PHASES: Readonly<Record<domain.OperationPhase, OperationPhase>> = {
  INSPECTING: OperationPhase.OPERATION_PHASE_INSPECTING,
  CREATING: OperationPhase.OPERATION_PHASE_CREATING,
  DOWNLOADING: OperationPhase.OPERATION_PHASE_DOWNLOADING,
  CONVERTING: OperationPhase.OPERATION_PHASE_CONVERTING,
  COPYING: OperationPhase.OPERATION_PHASE_COPYING,
  CLONING: OperationPhase.OPERATION_PHASE_CLONING,
  VERIFYING: OperationPhase.OPERATION_PHASE_VERIFYING,
  COMMITTING: OperationPhase.OPERATION_PHASE_COMMITTING,
  MODIFYING: OperationPhase.OPERATION_PHASE_MODIFYING,
  DELETING: OperationPhase.OPERATION_PHASE_DELETING,
  WALKING: OperationPhase.OPERATION_PHASE_WALKING,
};

export function stateOnWire(state: domain.OperationState): OperationState {
  return STATES[state];
}

/** The domain's word for a state of the wire; undefined for a number that names none. */
export function stateOffWire(state: number): domain.OperationState | undefined {
  return domainStates.find((name) => number(STATES[name]) === state);
}

/** Any number may come over the wire; an enum's type would say otherwise. */
const number = (state: OperationState): number => state;
const domainStates: readonly domain.OperationState[] = [
  'QUEUED',
  'RUNNING',
  'CANCELLING',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
];

export function operationEvent(record: domain.OperationRecord): OperationEvent {
  return {
    operationId: record.id,
    state: STATES[record.state],
    phase: record.phase === undefined ? OperationPhase.OPERATION_PHASE_UNSPECIFIED : PHASES[record.phase],
    progress: record.progress === undefined ? undefined : progress(record.progress),
    eventTime: new Date(record.eventTime),
    pid: record.pid,
    queuePosition: record.queuePosition,
    cancellable: record.cancellable,
    result:
      record.result === undefined
        ? undefined
        : { result: operationResult(record.result), replayed: record.replayed ?? false },
    error: record.error === undefined ? undefined : toStatus(record.error),
  };
}

export function operation(record: domain.OperationRecord, kept: KeptWork | undefined): Operation {
  const date = (time: number | undefined) => (time === undefined ? undefined : new Date(time));
  return {
    operationId: record.id,
    method: record.method,
    caller: record.caller,
    requestId: record.requestId ?? '',
    labels: { ...record.labels },
    addresses: [...record.addresses],
    createTime: date(record.createTime),
    startTime: date(record.startTime),
    endTime: date(record.endTime),
    detached: record.detached,
    attempt: record.attempt,
    last: operationEvent(record),
    warnings: [...record.warnings],
    kept,
  };
}

function progress({ etaMs, ...counters }: domain.Progress): Progress {
  return {
    totalBytes: undefined,
    doneItems: undefined,
    totalItems: undefined,
    bytesPerSecond: undefined,
    ...counters,
    eta:
      etaMs === undefined
        ? undefined
        : { seconds: BigInt(Math.floor(etaMs / 1000)), nanos: Math.floor((etaMs % 1000) * 1e6) },
  };
}

function operationResult(result: domain.OperationResult): OperationResult['result'] {
  switch (result.kind) {
    case 'image': {
      const { info, method, why, movedBytes, skippedBytes, changed = true } = result;
      return {
        $case: 'image',
        value: { info: imageInfo(info), work: { method, why, movedBytes, skippedBytes }, changed },
      };
    }
    case 'copy': {
      const { target, lengthBytes, allocatedBytes, engine, why, movedBytes, skippedBytes, verified } = result;
      return {
        $case: 'copy',
        value: { target, lengthBytes, allocatedBytes, engine, why, movedBytes, skippedBytes, verified },
      };
    }
    case 'digest': {
      const { algorithm, digest, lengthBytes } = result;
      return { $case: 'digest', value: { algorithm, digest, lengthBytes } };
    }
    case 'export':
      return { $case: 'export', value: { lengthBytes: result.lengthBytes } };
    // Of a call that answers once, with the entry itself.
    case 'cached':
      return undefined;
    case 'fetch':
      return fetchResult(result);
    case 'delete':
      return {
        $case: 'delete',
        value: {
          existed: result.existed,
          freedBytes: result.freedBytes,
          items: result.items ?? (result.existed ? 1n : 0n),
        },
      };
    case 'check': {
      const { clean, corruptions, leaks, checkErrors, corruptionsFixed, leaksFixed } = result;
      return { $case: 'check', value: { clean, corruptions, leaks, checkErrors, corruptionsFixed, leaksFixed } };
    }
    case 'compare': {
      const { equal, message, firstDifferenceBytes } = result;
      return { $case: 'compare', value: { equal, message, firstDifferenceBytes } };
    }
    case 'snapshot':
      return { $case: 'snapshot', value: { snapshot: imageSnapshot(result.snapshot) } };
    case 'chown':
      return { $case: 'chown', value: { changedItems: result.changedItems, seenItems: result.seenItems } };
    case 'write':
      return { $case: 'write', value: { writtenBytes: result.writtenBytes } };
    case 'touch':
      return { $case: 'touch', value: { existed: result.existed } };
    case 'execute':
      return { $case: 'execute', value: { exitCode: result.exitCode, attempts: result.attempts } };
    case 'plan': {
      const { method, why, moveBytes, needBytes, freeBytes } = result;
      return { $case: 'plan', value: { method, why, moveBytes, needBytes, freeBytes } };
    }
  }
}

function fetchResult(result: domain.FetchResult): OperationResult['result'] {
  const { info, networkBytes, fromCache, checksum = '', lengthBytes, cacheId = '' } = result;
  return {
    $case: 'fetch',
    value: { info: info && imageInfo(info), networkBytes, fromCache, checksum, lengthBytes, cacheId },
  };
}
