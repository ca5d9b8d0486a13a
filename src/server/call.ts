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

/** What a call of any kind has. */
export interface Call {
  /** Unset where requests stream in. */
  readonly request?: unknown;
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
  readonly metadata: Metadata;
  getPeer(): string;
  getDeadline(): Deadline;
}

export interface CallContext extends Pick<StreamLimits, 'unreadMs'> {
  /** The address that the call came to: all there is to say of a unix socket's far end. */
  readonly address: string;
  /** Who is on the other end of a connection. Fails with NOT_AUTHENTICATED. */
  readonly whoIs: (peer: string) => Identity;
  readonly scope: PathScope;
  readonly fairStart: FairStart;
  /** In bytes, for long answers until they are read. */
  readonly answers: FairRoom;
  readonly audit: AuditTrail;
  /** Of denials in the audit log. */
  readonly throttle: Throttle;
  readonly tracer: Tracer;
  readonly log: CallLog;
  /** Aborted when the server ends its streams. */
  readonly closing: AbortSignal;
}

/** One line a call; never content or secrets. */
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
    /** Those that it started, or attached to. */
    readonly operationIds?: readonly string[];
    /** One denial more than are written down. */
    readonly tooMany: boolean;
    readonly cause?: unknown;
  }): void;
}

export interface StreamLimits {
  /** Open at once on one connection; more wait at the client. */
  readonly streamsPerConnection: number;
  /** A call of whose answers nothing is read for so long is ended. */
  readonly unreadMs: number;
  /** Of long answers that are made or wait to be read. */
  readonly answerBytes: RoomLimits;
}

/** What a call's work gets. */
export interface AdmittedCall {
  readonly caller: Caller;
  /** For requests that stream in: each is checked like the request of any other call. */
  readonly check: (request: unknown) => void;
  /** The caller counts as gone from now on, for this reason. */
  readonly leave: (reason: HostlerError) => void;
  /** What is held for a long answer; unset: its answers are short. */
  readonly room: Held | undefined;
}
