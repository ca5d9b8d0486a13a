/** Whose turn it is, and how long it waits. */
export interface Waiter {
  /** Stable name of the caller. */
  readonly identity: string;
  /** Aborted when the caller has gone or its deadline has passed; the reason is a HostlerError. */
  readonly signal: AbortSignal;
}
