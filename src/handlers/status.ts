/**
 * Maps errors of the domain to google.rpc.Status. It accepts any error, so that a status is always
 * sent.
 */
import { status } from '@grpc/grpc-js';
import type { FieldViolation, HostlerError } from '../domain/model/errors.js';
import type { Code } from '../domain/model/reasons/reason-row.js';
import { restoreError, type StoredError } from '../domain/operations/record.js';
import type { Any } from '../gen/google/protobuf/any.js';
import { BadRequest, ErrorInfo, QuotaFailure, ResourceInfo, RetryInfo } from '../gen/google/rpc/error_details.js';
import { Status } from '../gen/google/rpc/status.js';
import { durationOf } from '../protocol/times.js';
import { isPlanted } from '../domain/model/planted-faults.js';

const DOMAIN = 'hostler';
/** A trailer of 64 KiB makes a grpc-js call hang. */
const MAX_STATUS_BYTES = 4000;
const MAX_MESSAGE = 600;
const MAX_KEY = 64;
const MAX_FACT = 250;
const MAX_FACTS = 6;
const MAX_VIOLATIONS = 8;
const MAX_DESCRIPTION = 160;

/** The same for a stored error, also of another version of the daemon. */
export function storedStatus(error: StoredError): Status {
  return toStatus(restoreError(error));
}

/**
 * The error as google.rpc.Status: ErrorInfo first, then BadRequest, RetryInfo and others as far as
 * they fit into MAX_STATUS_BYTES. Causes are never sent.
 */
export function toStatus(error: HostlerError): Status {
  const { shown, violations, retryAfterMs } = error;
  const details: Any[] = [errorInfo(error)];
  if (violations.length > 0) details.push(badRequest(violations));
  if (retryAfterMs !== undefined)
    details.push(pack('google.rpc.RetryInfo', RetryInfo.encode({ retryDelay: durationOf(retryAfterMs) }).finish()));
  details.push(...resource(error, shown.code), ...quota(error, shown.code));
  const whole: Status = { code: status[shown.code], message: cut(error.message, MAX_MESSAGE), details };
  // The reason comes first and always stays.
  while (details.length > 1 && Status.encode(whole).finish().length > MAX_STATUS_BYTES) details.pop();
  return whole;
}

function errorInfo({ shown: { reason }, facts }: HostlerError): Any {
  const metadata = Object.fromEntries(
    Object.entries(facts)
      .slice(0, MAX_FACTS)
      .map(([key, value]) => [cut(key, MAX_KEY), cut(value, MAX_FACT)]),
  );
  return pack(
    'google.rpc.ErrorInfo',
    ErrorInfo.encode({ reason: isPlanted('wrong-reason') ? 'IO_ERROR' : reason, domain: DOMAIN, metadata }).finish(),
  );
}

function badRequest(violations: readonly FieldViolation[]): Any {
  const fieldViolations = violations.slice(0, MAX_VIOLATIONS).map(({ field, description }) => ({
    field: cut(field, MAX_DESCRIPTION),
    description: cut(description, MAX_DESCRIPTION),
    reason: '',
    localizedMessage: undefined,
  }));
  return pack('google.rpc.BadRequest', BadRequest.encode({ fieldViolations }).finish());
}

function resource({ message, facts: { path, operation } }: HostlerError, code: Code): Any[] {
  const name = path ?? operation;
  if (name === undefined || (code !== 'NOT_FOUND' && code !== 'ALREADY_EXISTS')) return [];
  const resourceType = path === undefined ? 'operation' : 'path';
  const resourceName = cut(name, MAX_FACT);
  const description = cut(message, MAX_DESCRIPTION);
  const info = ResourceInfo.encode({ resourceType, resourceName, owner: '', description });
  return [pack('google.rpc.ResourceInfo', info.finish())];
}

function quota({ message, facts: { path = 'daemon' } }: HostlerError, code: Code): Any[] {
  if (code !== 'RESOURCE_EXHAUSTED') return [];
  const violation = {
    subject: cut(path, MAX_FACT),
    description: cut(message, MAX_DESCRIPTION),
    apiService: '',
    quotaMetric: '',
    quotaId: '',
    quotaDimensions: {},
    quotaValue: 0n,
    futureQuotaValue: undefined,
  };
  return [pack('google.rpc.QuotaFailure', QuotaFailure.encode({ violations: [violation] }).finish())];
}

function pack(type: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${type}`, value: Buffer.from(value) };
}

/** At most this many bytes of UTF-8; a lone surrogate, which no encoder accepts, becomes U+FFFD. */
function cut(text: string, bytes: number): string {
  const whole = text.toWellFormed();
  if (Buffer.byteLength(whole) <= bytes) return whole;
  return `${Buffer.from(whole)
    .subarray(0, bytes - 3)
    .toString('utf8')
    .replace(/\uFFFD{1,3}$/, '')}…`;
}
