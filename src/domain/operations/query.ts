import { hasLabels, mayCancel, maySee } from '../access/ownership.js';
import type { Caller } from '../access/caller.js';
import { HostlerError, asHostlerError, invalidFields } from '../model/errors.js';
import type { Operations } from './engine.js';
import type { ResumableLeftovers } from './recovery/resumable-leftovers.js';
import type { WatchPosition, WatchedStep } from './hub.js';
import { inOrder, isPassed, restOf, type EndedPage, type RecordPage, type Span, type TraitFilter } from './journal.js';
import type { LiveOperation } from './live-operation.js';
import { firstIdAt } from './operation-id.js';
import type { OperationRecord, OperationState } from './record.js';
import type { KeptEntry } from './recovery/resume-entries.js';
import { lineShownTo, shownTo } from './shown.js';
import type { KeptLines, OperationLines } from '../ports/operation-lines.js';

/** Size as in the journal: about 230 operations, which are serialised in 5 ms. */
const MAX_PAGE_CHARACTERS = 512 * 1024;

/** Records that are requested from the journal at once: each is parsed from JSON in 0.1 ms. */
const PIECE = 20;

/** Operations that a page may skip; the next page continues after them. */
const MAX_PASSED_OVER = 2000;

/** All conditions must hold; an empty one always holds. */
export interface OperationFilter {
  readonly states: readonly OperationState[];
  readonly methods: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Empty: any caller. */
  readonly caller: string;
  /** Only operations that left data for later. */
  readonly keptOnly: boolean;
  /** Reasons of failures. */
  readonly reasons: readonly string[];
  /** Empty: any, or none. */
  readonly requestId: string;
  /** Admitted at or after `sinceMs`, and before `untilMs`; in ms after 1970. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** Where a page begins. */
export interface PageStart {
  /** The last operation of the previous page; empty: the first page. */
  readonly behind: string;
  readonly newestFirst: boolean;
}

/** The outcome of a cancel. */
export interface Cancelled {
  readonly id: string;
  readonly state: OperationState;
  readonly removedPaths: readonly string[];
  readonly endedPids: readonly number[];
}

/** Reads, watches and cancels operations. */
export class OperationQueries {
  constructor(
    private readonly operations: Operations,
    private readonly keptWork: ResumableLeftovers,
    private readonly lines: OperationLines,
  ) {}

  /** Fails with OPERATION_NOT_FOUND, also if this caller may not see it. */
  async get(id: string, caller: Caller): Promise<OperationRecord> {
    const record = this.operations.live.get(id)?.record ?? (await this.operations.ports.journal.get(id));
    if (record === undefined || !maySee(record, caller))
      throw new HostlerError('OPERATION_NOT_FOUND', `there is no operation ${id}`, { facts: { operation: id } });
    return shownTo(record, caller);
  }

  /** The log lines of an operation that are still known. Fails with OPERATION_NOT_FOUND. */
  async log(id: string, caller: Caller): Promise<KeptLines> {
    const record = await this.get(id, caller);
    const { lines, isPartial } = this.lines.of(id) ?? { lines: [], isPartial: true };
    return { lines: lines.map((line) => lineShownTo(line, record, caller)), isPartial };
  }

  /**
   * A page, and the operation after which the next one begins; empty at the end. A page may be
   * short, or empty, without being the last one.
   */
  async list(
    filter: OperationFilter,
    size: number,
    start: PageStart,
    caller: Caller,
  ): Promise<{ records: OperationRecord[]; next: string }> {
    const records: OperationRecord[] = [];
    let [bytes, looked] = [0, 0];
    for await (const page of this.#pages(filter, start, caller)) {
      for (const record of page.records) {
        if (!isFor(filter, record, caller)) continue;
        bytes += charactersOf(record);
        if (records.length === size || (records.length > 0 && bytes > MAX_PAGE_CHARACTERS))
          return { records, next: records.at(-1)?.id ?? '' };
        records.push(shownTo(record, caller));
      }
      looked += page.records.length;
      const enough = page.spent || looked > MAX_PASSED_OVER;
      if (page.reached !== undefined && enough) return { records, next: page.reached };
    }
    return { records, next: '' };
  }

  /** Possible matches, in the order of the list; unfinished operations in their current state. */
  async *#pages(
    filter: OperationFilter,
    start: PageStart,
    caller: Caller,
  ): AsyncGenerator<RecordPage & { readonly spent: boolean }, void> {
    const { live, ports } = this.operations;
    const now = (record: OperationRecord) => live.get(record.id)?.record ?? record;
    const whole = spanOf(filter, start);
    if (filter.keptOnly) {
      const ids = this.keptWork.entries.map(({ operationId }) => operationId);
      const here = [...new Set(ids)].filter((id) => isPassed(id, whole, undefined));
      const records = await Promise.all(here.map((id) => ports.journal.get(id)));
      const found = records.flatMap((record) => (record === undefined ? [] : now(record)));
      yield { records: inOrder(found, whole), reached: undefined, spent: false };
      return;
    }
    const wanted = wantedBy(filter, caller);
    for (let span: Span | undefined = whole; span !== undefined;) {
      caller.signal.throwIfAborted();
      const part: Span = span;
      const { records, reached } = await ports.journal.page(wanted, part, PIECE);
      // Their states may not be in the journal yet.
      const here = [...live.values()].filter(({ record: { id } }) => isPassed(id, part, reached));
      const all = new Map([...records, ...here.map(({ record }) => record)].map((record) => [record.id, now(record)]));
      const spent = reached !== undefined && records.length < PIECE;
      yield { records: inOrder(all.values(), part), reached, spent };
      span = reached === undefined ? undefined : restOf(part, reached);
    }
  }

  /** Fails with OPERATION_NOT_FOUND. */
  async *watch(id: string, caller: Caller): AsyncGenerator<OperationRecord, void> {
    const record = await this.get(id, caller);
    const operation = this.operations.live.get(id);
    if (operation === undefined) yield record;
    else
      for await (const each of operation.watch(caller.signal, this.operations.ports.watchIntervalMs))
        yield shownTo(each, caller);
  }

  /** The position from which a watch misses no later change. */
  get position(): WatchPosition {
    return this.operations.hub.position;
  }

  /** Changes from now on, or since the position of an earlier watch. Fails with CURSOR_TOO_OLD. */
  async *watchAll(
    filter: OperationFilter,
    since: WatchPosition | undefined,
    caller: Caller,
  ): AsyncGenerator<WatchedStep, void> {
    const { live, hub } = this.operations;
    const now = [...live.values()].map(({ record }) => record);
    const wanted = (record: OperationRecord) => isFor(filter, record, caller);
    // The journal was lost: it has no life, or no end, as late as that of the position.
    if (since !== undefined && (since.ended > hub.position.ended || since.life > hub.position.life)) throw tooOld();
    const ended = (behind: string, upTo: string) =>
      this.#endedBehind(wantedBy(filter, caller), behind, upTo, caller.signal);
    const from = since && { position: since, ended };
    for await (const step of hub.watch(now, wanted, caller.signal, from))
      yield step.record === undefined ? step : { ...step, record: shownTo(step.record, caller) };
  }

  async *#endedBehind(
    wanted: TraitFilter,
    behind: string,
    upTo: string,
    signal: AbortSignal,
  ): AsyncGenerator<OperationRecord, void> {
    for (let at: string | undefined = behind; at !== undefined;) {
      signal.throwIfAborted();
      const page: EndedPage | undefined = await this.operations.ports.journal.ended(wanted, at, upTo, PIECE);
      if (page === undefined) throw tooOld();
      yield* page.records;
      at = page.reached;
    }
  }

  /**
   * Resolves when child processes and files are gone. By labels, operations of other callers are
   * skipped, and so are shared ones: they end when no operation waits for them. Fails with
   * OPERATION_NOT_FOUND, METHOD_NOT_ALLOWED (by id), NOT_CANCELLABLE (by id), and with
   * SHUTTING_DOWN if the next start resumes one of them.
   */
  async cancel(id: string, labels: Readonly<Record<string, string>>, caller: Caller): Promise<Cancelled[]> {
    const byLabels = Object.keys(labels).length > 0;
    if ((id === '') !== byLabels)
      throw invalidFields([
        { field: 'operation_id', description: 'exactly one of operation_id and labels must be given' },
      ]);
    if (!byLabels) {
      const record = await this.get(id, caller);
      if (!mayCancel(record, caller)) throw notYours(record, caller);
      if (!this.operations.live.has(id) && !this.operations.suspended.has(id)) {
        const removedPaths = await this.#drop((entry) => entry.operationId === id);
        return [{ id, state: record.state, removedPaths, endedPids: [] }];
      }
    }
    const meant = [...this.operations.live.values(), ...this.operations.suspended.values()].filter(({ record }) =>
      byLabels
        ? record.waiters === undefined && hasLabels(record, labels) && mayCancel(record, caller)
        : record.id === id,
    );
    const refusals = meant.flatMap((operation) => refusalOf(operation, caller));
    if (!byLabels && refusals[0] !== undefined) throw refusals[0];
    // Operations that must not be interrupted now are awaited too: they end soon, and the answer
    // tells how.
    const ended = await Promise.allSettled(meant.map((operation) => this.#ended(operation)));
    const dropped = byLabels ? await this.#dropLabelled(labels, caller) : [];
    const lost = ended.find((each) => each.status === 'rejected');
    if (lost !== undefined) throw asHostlerError(lost.reason);
    return [...ended.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])), ...dropped];
  }

  /**
   * The outcome of a cancel, with the data kept for later: a stop of the daemon keeps more than a
   * cancel does.
   */
  async #ended(operation: LiveOperation): Promise<Cancelled> {
    const { id, state } = await operation.ending();
    const kept = await this.#drop((entry) => entry.operationId === id);
    const { removedPaths, endedPids } = operation;
    return { id, state, removedPaths: [...removedPaths, ...kept], endedPids };
  }

  /** Data that an ended operation left for later. */
  kept(id: string): { readonly bytes: bigint; readonly expireMs: number } | undefined {
    const entry = this.keptWork.entries.find(({ operationId }) => operationId === id);
    const { ttlMs } = this.operations.ports.resumes.limits;
    return entry && { bytes: entry.kept.bytes, expireMs: entry.kept.sinceMs + ttlMs };
  }

  async #dropLabelled(labels: Readonly<Record<string, string>>, caller: Caller): Promise<Cancelled[]> {
    const dropped: Cancelled[] = [];
    for (const { operationId: id } of this.keptWork.entries.filter((entry) => hasLabels(entry, labels))) {
      const record = await this.operations.ports.journal.get(id);
      if (record === undefined || record.waiters !== undefined || !mayCancel(record, caller)) continue;
      const removedPaths = await this.#drop((entry) => entry.operationId === id);
      dropped.push({ id, state: record.state, removedPaths, endedPids: [] });
    }
    return dropped;
  }

  async #drop(meant: (entry: KeptEntry) => boolean): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const entry of this.keptWork.entries.filter(meant)) removed.push(...(await this.keptWork.drop(entry)));
    return removed;
  }
}

/** Approximately its length in the journal. */
function charactersOf(record: OperationRecord): number {
  return JSON.stringify(record, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).length;
}

function tooOld(): HostlerError {
  const text =
    'the history does not go back to this cursor: list the operations, and watch from the cursor of that list';
  return new HostlerError('CURSOR_TOO_OLD', text);
}

function notYours({ id, caller: owner }: OperationRecord, { identity }: Caller): HostlerError {
  return new HostlerError('METHOD_NOT_ALLOWED', `operation ${id} belongs to ${owner}: ${identity} may not cancel it`, {
    facts: { operation: id, caller: identity },
  });
}

/** Whether the operation matches, judged only by what the caller may see. */
function isFor(filter: OperationFilter, record: OperationRecord, caller: Caller): boolean {
  return maySee(record, caller) && matches(filter, shownTo(record, caller));
}

function matches(filter: OperationFilter, record: OperationRecord): boolean {
  return (
    (filter.states.length === 0 || filter.states.includes(record.state)) &&
    (filter.methods.length === 0 || filter.methods.includes(record.method)) &&
    (filter.caller === '' || filter.caller === record.caller) &&
    (filter.requestId === '' || filter.requestId === record.requestId) &&
    (filter.reasons.length === 0 || (record.error !== undefined && filter.reasons.includes(record.error.reason))) &&
    record.createTime >= (filter.sinceMs ?? -Infinity) &&
    record.createTime < (filter.untilMs ?? Infinity) &&
    hasLabels(record, filter.labels)
  );
}

/** Limit of the time between an operation's admission and the creation of its id. */
const ID_LATE_MS = 1000;

function spanOf({ sinceMs, untilMs }: OperationFilter, { behind, newestFirst }: PageStart): Span {
  const whole: Span = {
    after: sinceMs === undefined ? '' : firstIdAt(sinceMs),
    before: untilMs === undefined ? '' : firstIdAt(untilMs + ID_LATE_MS),
    newestFirst,
  };
  if (behind === '') return whole;
  const isBeyond = newestFirst ? whole.before !== '' && behind > whole.before : behind < whole.after;
  return isBeyond ? whole : restOf(whole, behind);
}

/** The search in the journal. An unfinished operation is found in whatever state it is now. */
function wantedBy(
  { states, methods, caller: owner, labels, reasons, requestId }: OperationFilter,
  { identity, grant }: Caller,
): TraitFilter {
  const own = { kind: 'caller', value: identity } as const;
  const labelled = (each: Readonly<Record<string, string>>) =>
    Object.entries(each).map(([key, value]) => ({ kind: 'label', key, value }) as const);
  const inSight = grant.operations === 'own' ? [[own]] : labelled(grant.labels).map((label) => [own, label]);
  return [
    ...(states.length === 0 ? [] : [states.map((value) => ({ kind: 'state', value }) as const)]),
    ...(methods.length === 0 ? [] : [methods.map((value) => ({ kind: 'method', value }) as const)]),
    ...(owner === '' ? [] : [[{ kind: 'caller', value: owner } as const]]),
    ...(requestId === '' ? [] : [[{ kind: 'requestId', value: requestId } as const]]),
    ...(reasons.length === 0 ? [] : [reasons.map((value) => ({ kind: 'reason', value }) as const)]),
    ...labelled(labels).map((label) => [label]),
    ...inSight,
  ];
}

function refusalOf(operation: LiveOperation, caller: Caller): HostlerError[] {
  try {
    operation.cancel(new HostlerError('CANCELLED', `cancelled by ${caller.identity}`));
    return [];
  } catch (error) {
    return [asHostlerError(error)];
  }
}
