import { createHash } from 'node:crypto';
import type { Caller } from '../access/caller.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Journal } from './journal.js';
import type { LiveOperation } from './live-operation.js';
import type { OperationRecord } from './record.js';
import type { Reason } from '../model/reasons/reasons.js';
import { isPlanted } from '../model/planted-faults.js';

/** Reasons with which an admission ends if its caller left. */
const GONE: readonly Reason[] = ['CANCELLED', 'CALLER_DEADLINE'];

interface Starting {
  readonly fingerprint: string;
  readonly started: Promise<LiveOperation | OperationRecord>;
}

/**
 * One request id, one operation: repeated calls attach to it or get its result again. Scope:
 * caller, method, id.
 */
export class RequestIds {
  /**
   * Requests between the first await of their admission and their live operation: repeated calls
   * wait for the same one.
   */
  readonly #starting = new Map<string, Starting>();

  constructor(
    private readonly journal: Pick<Journal, 'findRequest'>,
    private readonly live: ReadonlyMap<string, LiveOperation>,
  ) {}

  /**
   * A live operation, old or new, or a finished record to replay. Fails with REQUEST_ID_REUSED, and
   * as `begin`.
   */
  async once(
    method: string,
    spec: object,
    { requestId }: { readonly requestId: string },
    caller: Caller,
    begin: (attempt: number) => Promise<LiveOperation>,
  ): Promise<LiveOperation | OperationRecord> {
    if (requestId === '') return begin(1);
    const key = JSON.stringify([caller.identity, method, requestId]);
    const wanted = fingerprint(spec);
    const starting = this.#starting.get(key);
    if (starting !== undefined) {
      assertSame(starting.fingerprint, wanted, requestId);
      try {
        return await starting.started;
      } catch (error) {
        // The first caller has left; this one has not.
        if (!GONE.includes(asHostlerError(error).reason) || caller.signal.aborted) throw error;
        return this.once(method, spec, { requestId }, caller, begin);
      }
    }
    const started = this.#find({ caller: caller.identity, method, requestId }, wanted, begin);
    this.#starting.set(key, { fingerprint: wanted, started });
    try {
      return await started;
    } finally {
      this.#starting.delete(key);
    }
  }

  async #find(
    key: { readonly caller: string; readonly method: string; readonly requestId: string },
    wanted: string,
    begin: (attempt: number) => Promise<LiveOperation>,
  ): Promise<LiveOperation | OperationRecord> {
    let earlier = await this.journal.findRequest(key);
    if (earlier === undefined) return begin(1);
    assertSame(fingerprint(earlier.spec), wanted, key.requestId);
    const operation = this.live.get(earlier.id);
    if (operation !== undefined && operation.record.state !== 'CANCELLING') return operation;
    if (operation !== undefined) earlier = await operation.finished;
    const replays = earlier.state === 'SUCCEEDED' && !isPlanted('replay-runs-again');
    return replays ? earlier : begin(earlier.attempt + 1);
  }
}

/**
 * A key that is the same for every attempt at a request, short enough for a request id, and unique
 * to the caller.
 */
export function requestKeyOf({ id, caller, requestId }: Pick<OperationRecord, 'id' | 'caller' | 'requestId'>): string {
  if (requestId === undefined) return id;
  return createHash('sha256')
    .update(JSON.stringify([caller, requestId]))
    .digest('hex');
}

/** A spec as text, equal for equal specs whatever the order of their keys. */
export function fingerprint(spec: unknown): string {
  return JSON.stringify(spec, (_, value: unknown) => {
    if (typeof value === 'bigint') return { $bigint: value.toString() };
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function assertSame(earlier: string, wanted: string, requestId: string): void {
  if (earlier === wanted) return;
  throw new HostlerError('REQUEST_ID_REUSED', `request id ${requestId} was used with other arguments`, {
    facts: { request_id: requestId },
  });
}
