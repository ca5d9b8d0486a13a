/** A caller in a queue, and how long it waits. */
export interface Waiter {
  /** Stable name of the caller. */
  readonly identity: string;
  /**
   * Aborted when the caller has disconnected or its deadline has passed; the reason is a
   * HostlerError.
   */
  readonly signal: AbortSignal;
}
