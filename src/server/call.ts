import type { Metadata } from '../../node_modules/@grpc/grpc-js/build/src/index.d.js';
import { type Deadline } from '../../node_modules/@grpc/grpc-js/build/src/index.d.js';
import type { Identity } from '../domain/access/authority.js';
import type { PathScope } from '../domain/access/path-scope.js';
import type { FairStart } from './bounds/fair-start.js';
import type { FairRoom, RoomLimits, Held } from '../domain/budgets/fair-room.js';
import type { AuditTrail, Throttle } from '../domain/access/audit.js';
import type { Caller } from '../domain/access/caller.js';
import type { HostlerError } from '../domain/model/errors.js';
import type { Tracer } from '../domain/ports/tracer.js';

/** The parts that calls of all kinds have. */
export interface Call {
  /** Unset if requests are streamed. */
  readonly request?: unknown;
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
  readonly metadata: Metadata;
  getPeer(): string;
  getDeadline(): Deadline;
}

export interface CallContext extends Pick<StreamLimits, 'unreadMs'> {
  /**
   * The address that the call came to: for a unix socket it is the only information about the
   * client.
   */
  readonly address: string;
  /** The caller of a connection. Fails with NOT_AUTHENTICATED. */
  readonly whoIs: (peer: string) => Identity;
  readonly scope: PathScope;
  readonly fairStart: FairStart;
  /** In bytes, for long answers until they are read. */
  readonly answers: FairRoom;
  readonly audit: AuditTrail;
  /** For denials in the audit log. */
  readonly throttle: Throttle;
  readonly tracer: Tracer;
  readonly log: CallLog;
  /** Aborted when the server ends its streams. */
  readonly closing: AbortSignal;
}

/** One line for each call; never content or secrets. */
export interface CallLog {
  (facts: {
    readonly rpc: string;
    readonly peer: string;
    readonly caller: string;
    readonly code: string;
    readonly reason?: string;
    readonly ms: number;
    readonly paths: readonly string[];
    readonly requestId?: string;
    /** Operations that the call started or attached to. */
    readonly operationIds?: readonly string[];
    /** A denial beyond the limit of those that are logged. */
    readonly tooMany: boolean;
    readonly cause?: unknown;
  }): void;
}

export interface StreamLimits {
  /** Limit on one connection; further streams wait at the client. */
  readonly streamsPerConnection: number;
  /** A call whose answers are not read for this time is ended. */
  readonly unreadMs: number;
  /** For long answers that are being built or wait to be read. */
  readonly answerBytes: RoomLimits;
}

/** What the work of a call gets. */
export interface AdmittedCall {
  readonly caller: Caller;
  /** For streamed requests: each is checked like the request of a unary call. */
  readonly check: (request: unknown) => void;
  /** From now on the caller counts as disconnected, for this reason. */
  readonly leave: (reason: HostlerError) => void;
  /** The room held for a long answer; unset: its answers are short. */
  readonly room: Held | undefined;
}
