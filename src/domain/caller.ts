/** What a caller may do; the table of RPCs says which role an RPC needs. */
export type Role = 'viewer' | 'admin';

/** Who calls, and how long they wait. Goes into every domain call. */
export interface Caller {
  /** Stable name: scope of request ids, owner of operations. */
  readonly identity: string;
  readonly roles: readonly Role[];
  /** The far end of the connection, for logs. */
  readonly peer: string;
  /** Aborted when the caller has gone or its deadline has passed; the reason is a HostlerError. */
  readonly signal: AbortSignal;
  readonly deadline: Date | undefined;
}
