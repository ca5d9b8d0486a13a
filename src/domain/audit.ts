/** Who did what, and what came of it. Never content or secrets. */
export interface AuditEntry {
  /** `begin`: is about to work; `call`: has ended; `refused`: was turned away at the door; `operation`: ended without its caller. */
  readonly event: 'begin' | 'call' | 'refused' | 'operation';
  readonly caller: string;
  /** Whom the calling agent says that it calls for. */
  readonly onBehalfOf?: string;
  /** From where. */
  readonly peer?: string;
  readonly rpc?: string;
  readonly paths?: readonly string[];
  readonly requestId?: string;
  readonly operationIds?: readonly string[];
  /** `OK`, or the reason of the failure. */
  readonly result?: string;
  readonly ms?: number;
  /** Lines like this one that were left out before it, because there were too many. */
  readonly leftOut?: number;
}

/** Where it is written down. */
export interface AuditTrail {
  /** Before something is changed. Fails with AUDIT_FAILED when it must be written down and cannot be. */
  begin(entry: Omit<AuditEntry, 'event'>): Promise<void>;
  /** When it is over. Never rejects: what cannot be written now is kept and written later. */
  end(entry: AuditEntry): Promise<void>;
  /** What was to be written has been, or cannot be. */
  close(): Promise<void>;
}

/** So many denials of one caller are written down in a second; a flood of them must not fill the disk. */
export const DENIALS_A_SECOND = 1000;
/** The same of connections that are refused, of all strangers together. */
export const REFUSALS_A_SECOND = 20;
const SECOND_MS = 1000;

/** Counts what comes too often. */
export class Throttle {
  #since = 0;
  readonly #seen = new Map<string, number>();

  constructor(
    private readonly clock: () => number,
    private readonly mostASecond: number,
  ) {}

  /** Undefined when this one is too much; else how many were too much since the last one that was not. */
  pass(key: string): number | undefined {
    const now = this.clock();
    const over = (count: number) => Math.max(0, count - this.mostASecond);
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      // What was left out is told with the next line.
      for (const [each, count] of this.#seen) {
        if (over(count) === 0) this.#seen.delete(each);
        else this.#seen.set(each, -over(count));
      }
    }
    const before = this.#seen.get(key) ?? 0;
    this.#seen.set(key, before < 0 ? 1 : before + 1);
    if (before < 0) return -before;
    return before < this.mostASecond ? 0 : undefined;
  }
}
