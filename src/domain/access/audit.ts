/** Who did what, and with which result. Never content or secrets. */
export interface AuditEntry {
  /**
   * `begin`: work is about to start; `call`: a call has ended; `refused`: a connection or call was
   * rejected; `operation`: an operation ended without its caller.
   */
  readonly event: 'begin' | 'call' | 'refused' | 'operation';
  readonly caller: string;
  /** The caller on whose behalf the calling agent says it acts. */
  readonly onBehalfOf?: string;
  /** Address of the client. */
  readonly peer?: string;
  readonly rpc?: string;
  readonly paths?: readonly string[];
  /** For a call with many addresses: those that were denied while others were answered. */
  readonly deniedPaths?: readonly string[];
  readonly requestId?: string;
  readonly operationIds?: readonly string[];
  /** `OK`, or the reason of the failure. */
  readonly result?: string;
  readonly ms?: number;
  /** How many similar lines were left out before this one, because there were too many. */
  readonly leftOut?: number;
}

/** Where audit entries are written. */
export interface AuditTrail {
  /**
   * Call it before a change. Fails with AUDIT_FAILED if the entry is required and cannot be
   * written.
   */
  begin(entry: Omit<AuditEntry, 'event'>): Promise<void>;
  /**
   * Call it when the work is over. Never rejects: an entry that cannot be written now is kept and
   * written later.
   */
  end(entry: AuditEntry): Promise<void>;
  /** Resolves when pending entries have been written, or cannot be. */
  close(): Promise<void>;
}

/** Limit of addresses and ids of one call in an entry. */
const MOST_WORDS = 32;
/**
 * Length as written, where a control character takes six; no path that a filesystem accepts is
 * longer.
 */
const MOST_TEXT = 4096;
/** Room for the addresses of any request. */
const MOST_TEXTS = 3 * MOST_TEXT;
/** How much of a longer text is shown. */
const SHORTENED = 128;

/** A caller's text for an entry, shortened so that no request makes a line too long for the log. */
export function auditText(text: string): string {
  const start = text.slice(0, MOST_TEXT + 1).toWellFormed();
  if (JSON.stringify(start).length - 2 <= MOST_TEXT) return start;
  return `${text.slice(0, SHORTENED).toWellFormed()}… (${String(text.length)} characters)`;
}

/**
 * The texts of one call within limits, however many it sends; those that do not fit are counted.
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
 * Limit of refused connections that are logged in a second, for all unauthenticated peers together:
 * a flood must not fill the disk.
 */
export const REFUSALS_A_SECOND = 20;
const SECOND_MS = 1000;

/** Limits and counts frequent events. */
export class Throttle {
  #since = 0;
  readonly #seen = new Map<string, number>();

  constructor(
    private readonly clock: () => number,
    private readonly mostASecond: number,
  ) {}

  /**
   * Undefined if this event exceeds the limit; otherwise how many did since the last one that
   * passed.
   */
  pass(key: string): number | undefined {
    const now = this.clock();
    const over = (count: number) => Math.max(0, count - this.mostASecond);
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      // The next line contains the number of omitted lines.
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
