/** The one mapper from errors of the domain to google.rpc.Status. */
import { status } from '@grpc/grpc-js';
import { REASONS, type FieldViolation, type HostlerError } from '../domain/errors.js';
import type { StoredError } from '../domain/operations/record.js';
import type { Any } from '../gen/google/protobuf/any.js';
import { BadRequest, ErrorInfo, QuotaFailure, ResourceInfo, RetryInfo } from '../gen/google/rpc/error_details.js';
import { Status } from '../gen/google/rpc/status.js';

const DOMAIN = 'hostler';
/** A trailer of 64 KiB hangs a grpc-js call. */
const MAX_STATUS_BYTES = 4000;
const MAX_MESSAGE = 600;
const MAX_FACT = 250;
const MAX_FACTS = 6;
const MAX_VIOLATIONS = 8;
const MAX_DESCRIPTION = 160;

export function toStatus(error: HostlerError | StoredError): Status {
  const { code } = REASONS[error.reason];
  const metadata = Object.fromEntries(
    Object.entries(error.facts)
      .slice(0, MAX_FACTS)
      .map(([key, value]) => [key, cut(value, MAX_FACT)]),
  );
  const details: Any[] = [
    pack('google.rpc.ErrorInfo', ErrorInfo.encode({ reason: error.reason, domain: DOMAIN, metadata }).finish()),
  ];
  if (error.violations.length > 0) details.push(badRequest(error.violations));
  if (error.retryAfterMs !== undefined) {
    const retryDelay = {
      seconds: BigInt(Math.floor(error.retryAfterMs / 1000)),
      nanos: (error.retryAfterMs % 1000) * 1e6,
    };
    details.push(pack('google.rpc.RetryInfo', RetryInfo.encode({ retryDelay }).finish()));
  }
  const { path, operation } = error.facts;
  if (code === 'NOT_FOUND' || code === 'ALREADY_EXISTS') details.push(...resource(error, path, operation));
  if (code === 'RESOURCE_EXHAUSTED') {
    const violations = [
      {
        subject: cut(path ?? 'daemon', MAX_FACT),
        description: cut(error.message, MAX_DESCRIPTION),
        apiService: '',
        quotaMetric: '',
        quotaId: '',
        quotaDimensions: {},
        quotaValue: 0n,
        futureQuotaValue: undefined,
      },
    ];
    details.push(pack('google.rpc.QuotaFailure', QuotaFailure.encode({ violations }).finish()));
  }
  const whole: Status = { code: status[code], message: cut(error.message, MAX_MESSAGE), details };
  // The reason comes first and always stays.
  while (details.length > 1 && Status.encode(whole).finish().length > MAX_STATUS_BYTES) details.pop();
  return whole;
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

function resource(
  { message }: { readonly message: string },
  path: string | undefined,
  operation: string | undefined,
): Any[] {
  const name = path ?? operation;
  if (name === undefined) return [];
  const resourceType = path === undefined ? 'operation' : 'path';
  return [
    pack(
      'google.rpc.ResourceInfo',
      ResourceInfo.encode({
        resourceType,
        resourceName: cut(name, MAX_FACT),
        owner: '',
        description: cut(message, MAX_DESCRIPTION),
      }).finish(),
    ),
  ];
}

function pack(type: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${type}`, value: Buffer.from(value) };
}

/** At most so many bytes of UTF-8. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  return `${Buffer.from(text)
    .subarray(0, bytes - 3)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}…`;
}
