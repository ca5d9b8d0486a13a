/** Failures, for people and for scripts. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo } from '../gen/google/rpc/error_details.js';
import { Status } from '../gen/google/rpc/status.js';
import { REASONS, isReason } from '../domain/model/reasons/reasons.js';
import { connectionFailure, type ConnectionFailure } from '../protocol/connection-failure.js';
import { EXIT } from './help/exit-codes.js';
import { printable } from './text.js';
import { OWN_DOMAIN, adviceOf, codeOf, isOwnReason, type OwnReason } from './own-reasons.js';

const BY_REASON: ReadonlyMap<string, number> = new Map([
  ['PATH_BUSY', EXIT.busy],
  ['IMAGE_IN_USE', EXIT.busy],
  ['TOO_MANY_OPERATIONS', EXIT.busy],
  ['NO_SPACE', EXIT.space],
]);

const BY_CODE: Readonly<Record<number, number>> = {
  [status.INVALID_ARGUMENT]: EXIT.usage,
  [status.NOT_FOUND]: EXIT.notFound,
  [status.ALREADY_EXISTS]: EXIT.refused,
  [status.PERMISSION_DENIED]: EXIT.refused,
  [status.UNAUTHENTICATED]: EXIT.refused,
  [status.FAILED_PRECONDITION]: EXIT.refused,
  [status.UNIMPLEMENTED]: EXIT.refused,
  [status.ABORTED]: EXIT.busy,
  [status.RESOURCE_EXHAUSTED]: EXIT.busy,
  [status.UNAVAILABLE]: EXIT.unavailable,
  [status.CANCELLED]: EXIT.cancelled,
};

export interface Failure {
  readonly code: number;
  readonly message: string;
  /** A reason of the table, or of a newer daemon. */
  readonly reason?: string;
  readonly facts: Readonly<Record<string, string>>;
  /** Errors in fields of the request. */
  readonly violations: readonly { readonly field: string; readonly description: string }[];
}

/** A command's names for the fields of its requests. */
export interface Names {
  /** The option or argument of a field; the field itself if there is none. */
  field(name: string): string;
  /** A sentence with the fields in it replaced by these. */
  text(text: string): string;
}

/** The client's own error about its arguments. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Whether an error is the status of an RPC, as grpc-js reports it. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

/**
 * The status that the daemon at the address sent, with its details; or the problem of the
 * connection.
 */
export function statusOf(error: ServiceError, address: string): Status {
  const packed = error.metadata.get('grpc-status-details-bin')[0];
  const bare = { code: error.code, message: error.details, details: [] };
  try {
    if (packed instanceof Buffer) return Status.decode(packed);
  } catch {
    return bare; // not a Status: the server is not a Hostler daemon
  }
  const failure = connectionFailure(error);
  return failure === undefined ? bare : connectionStatus(failure, address, error.details);
}

/** The status of a connection that failed. */
export function connectionStatus({ reason, what }: ConnectionFailure, address: string, details: string): Status {
  return ownStatus(reason, `no connection to ${address}: ${what}`, { address, details });
}

/** A status of the command itself, in the form of a daemon's. */
export function ownStatus(reason: OwnReason, message: string, metadata: Readonly<Record<string, string>> = {}): Status {
  const info = ErrorInfo.encode({ reason, domain: OWN_DOMAIN, metadata }).finish();
  const detail = { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info) };
  return { code: codeOf(reason), message, details: [detail] };
}

/**
 * The message, reason and facts of a status; the reason is unset if the status has no ErrorInfo.
 */
export function failureOf({ code, message, details }: Status): Failure {
  const packed = (name: string) => details.find(({ typeUrl }) => typeUrl.endsWith(`/google.rpc.${name}`))?.value;
  const [info, request] = [packed('ErrorInfo'), packed('BadRequest')];
  const violations = request === undefined ? [] : BadRequest.decode(request).fieldViolations;
  if (info === undefined) return { code, message, facts: {}, violations };
  const { reason, metadata } = ErrorInfo.decode(info);
  return { code, message, facts: metadata, violations, ...(reason === '' ? {} : { reason }) };
}

/**
 * The command's exit code, one of EXIT: by the reason, otherwise by the gRPC code. A daemon that
 * answers does not count as unavailable.
 */
export function exitCode({ code, reason }: Failure): number {
  const isUnavailable = BY_CODE[code] === EXIT.unavailable;
  if (isUnavailable && reason !== undefined && !isOwnReason(reason)) return EXIT.busy;
  return BY_REASON.get(reason ?? '') ?? BY_CODE[code] ?? EXIT.other;
}

/**
 * One line for the failure, one for what to do. The names of a command's options and arguments
 * replace the names of fields.
 */
export function explain(failure: Failure, names?: Names): string {
  const { reason, facts } = failure;
  if (isOwnReason(reason)) return [`hostler: ${linesOf(failure.message)}`, adviceOf(reason) ?? []].flat().join('\n  ');
  const message = messageOf(failure, names);
  const name = reason ?? status[failure.code] ?? String(failure.code);
  const advice = reason === undefined || !isReason(reason) ? '' : `\n  ${inWordsOf(names, REASONS[reason].advice)}`;
  const stderr = facts['stderr'] === undefined || message.includes(facts['stderr']) ? '' : `\n  ${facts['stderr']}`;
  return `${linesOf(`hostler: ${message} [${name}]${stderr}`)}${advice}`;
}

/** Names of files, and what tools print, may have control characters. Lines stay lines. */
function linesOf(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

function inWordsOf(names: Names | undefined, text: string): string {
  return names?.text(text) ?? text;
}

function messageOf({ message, violations }: Failure, names: Names | undefined): string {
  if (names === undefined || violations.length === 0) return message;
  return violations.map(({ field, description }) => `${names.field(field)}: ${names.text(description)}`).join('; ');
}
