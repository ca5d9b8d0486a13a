/** Who did what, and what came of it. Never content or secrets. */
export interface AuditEntry {
  /**
   * `begin`: is about to work; `call`: has ended; `refused`: was turned away at the door;
   * `operation`: ended without its caller.
   */
  readonly event: 'begin' | 'call' | 'refused' | 'operation';
  readonly caller: string;
  /** Whom the calling agent says that it calls for. */
  readonly onBehalfOf?: string;
  /** From where. */
  readonly peer?: string;
  readonly rpc?: string;
  readonly paths?: readonly string[];
  /** Of many addresses of one call those that it was denied, while others were answered. */
  readonly deniedPaths?: readonly string[];
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
  /**
   * Before something is changed. Fails with AUDIT_FAILED when it must be written down and cannot
   * be.
   */
  begin(entry: Omit<AuditEntry, 'event'>): Promise<void>;
  /** When it is over. Never rejects: what cannot be written now is kept and written later. */
  end(entry: AuditEntry): Promise<void>;
  /** What was to be written has been, or cannot be. */
  close(): Promise<void>;
}

/** So many addresses, and ids, of one call are written down. */
const MOST_WORDS = 32;
/**
 * As it stands in the line, where a control character takes six; no path that a filesystem takes is
 * longer.
 */
const MOST_TEXT = 4096;
/** Room for the addresses of any request. */
const MOST_TEXTS = 3 * MOST_TEXT;
/** How much is shown of what is longer. */
const SHORTENED = 128;

/** A caller's text as it is written down: no request makes a line longer than the log can bear. */
export function auditText(text: string): string {
  const start = text.slice(0, MOST_TEXT + 1).toWellFormed();
  if (JSON.stringify(start).length - 2 <= MOST_TEXT) return start;
  return `${text.slice(0, SHORTENED).toWellFormed()}… (${String(text.length)} characters)`;
}

/**
 * Texts of one call, in bounds however many it sends; those for which there is no room are counted.
 */
export class AuditTexts {
  readonly #shown: string[] = [];
  #room = MOST_TEXTS;
  #left = 0;

  add(text: string): void {
    const word = auditText(text);
    const taken = JSON.stringify(word).length;
    if (this.#left > 0 || this.#shown.length >= MOST_WORDS || taken > this.#room) {
      this.#left += 1;
      return;
    }
    this.#room -= taken;
    this.#shown.push(word);
  }

  get all(): readonly string[] {
    return this.#left === 0 ? [...this.#shown] : [...this.#shown, `… (${String(this.#left)} more)`];
  }
}

/**
 * So many refused connections are logged in a second, of all unauthenticated peers together: a
 * flood must not fill the disk.
 */
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

  /**
   * Undefined when this one is too much; else how many were too much since the last one that was
   * not.
   */
  pass(key: string): number | undefined {
    const now = this.clock();
    const over = (count: number) => Math.max(0, count - this.mostASecond);
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      // The number of omitted lines comes with the next line.
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
