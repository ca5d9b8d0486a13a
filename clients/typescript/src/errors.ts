/** What a call may fail with. Programs read `reason`, never the message. */
import { fromBinary } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import type { Message } from '@bufbuild/protobuf';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './gen/google/rpc/error_details_pb.js';

/** Codes of gRPC. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A detail of an error, as it came: `google.protobuf.Any`. */
export interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** A field of the request that is wrong. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** Code, message and details: `google.rpc.Status` and `hostler.v1.Status` have these fields. */
export interface StatusFields {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Detail[];
}

/** A call failed. */
export class HostlerError extends Error {
  override readonly name: string = 'HostlerError';
  /** A code of gRPC, such as `Code.NOT_FOUND`. */
  readonly code: number;
  /** A word of docs/errors.md, such as IMAGE_NOT_FOUND; empty if the answer named none. */
  readonly reason: string;
  /** Facts by name: `path`, `holders`, `needed`, `free`, the last words of a tool. */
  readonly facts: Readonly<Record<string, string>>;
  /** Every wrong field, for INVALID_FIELD. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How long the daemon asks to wait before the same call. */
  readonly retryDelayMs: number | undefined;
  /** All details as they came, also those whose type this version does not know. */
  readonly details: readonly Detail[];

  constructor({ code, message, details }: StatusFields, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
    const info = find(details, ErrorInfoSchema);
    this.reason = info?.reason ?? '';
    this.facts = { ...info?.metadata };
    this.fieldViolations = (find(details, BadRequestSchema)?.fieldViolations ?? []).map(({ field, description }) => ({
      field,
      description,
    }));
    const delay = find(details, RetryInfoSchema)?.retryDelay;
    this.retryDelayMs = delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }
}

/** Why there is no connection. */
export type ConnectionProblem =
  | 'no-such-socket'
  | 'nothing-listens'
  | 'no-permission'
  | 'host-unknown'
  | 'host-unreachable'
  | 'certificate-name'
  | 'certificate-expired'
  | 'unknown-authority'
  | 'client-certificate-refused'
  | 'server-wants-tls'
  | 'server-without-tls'
  | 'no-daemon'
  | 'silent'
  | 'connection-lost';

/** The daemon gave no answer: there was no connection, or it broke. The code is UNAVAILABLE. */
export class ConnectionError extends HostlerError {
  override readonly name = 'ConnectionError';

  constructor(
    /** Where no answer came from. */
    readonly address: string,
    /** What the cause is, for programs. */
    readonly problem: ConnectionProblem,
    what: string,
    /** What to do about it, for people. */
    readonly advice: string,
    cause?: unknown,
  ) {
    super({ code: Code.UNAVAILABLE, message: `no connection to ${address}: ${what}`, details: [] }, cause);
  }
}

/** The agent and this client do not fit together: another major version, or a missing feature. */
export class ContractError extends HostlerError {
  override readonly name = 'ContractError';

  constructor(message: string) {
    super({ code: Code.UNIMPLEMENTED, message, details: [] });
  }
}

/** Arguments, variables of the environment or a file of this host cannot be used. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

function find<T extends Message>(details: readonly Detail[], schema: GenMessage<T>): T | undefined {
  const detail = details.find(({ typeUrl }) => typeUrl.endsWith(`/${schema.typeName}`));
  if (detail === undefined) return undefined;
  try {
    return fromBinary(schema, detail.value);
  } catch {
    return undefined; // It stays in `details` as it came.
  }
}
