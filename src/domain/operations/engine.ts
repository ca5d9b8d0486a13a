import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageAddress } from '../model/address.js';
import { NOBODY, placesOf, type Caller } from '../access/caller.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { deferred } from '../model/async.js';
import type { TraceSpan } from '../model/span.js';
import { withinSpan, workFor, workOf } from '../model/current-work.js';
import type { Admitted } from './admitted.js';
import { Ends, recordEnd } from './ends.js';
import { execute } from './execute.js';
import { OperationHub } from './hub.js';
import { nowOrLater } from './journal.js';
import { orLetGo } from './letting-go.js';
import { LiveOperation, leavingBy } from './live-operation.js';
import { atRest, isFinal, restoreError, storeError, type OperationRecord } from './record.js';
import type { OperationResult } from './results.js';
import { RequestIds } from './request-ids.js';
import { resumesAfterRestart } from './recovery/resumable-work.js';
import type { Assignment } from './operation-run.js';
import { beginOperationSpan, endOperationSpan, suspendOperationSpan, traceEnded } from './operation-span.js';
import type { Verb } from './verb.js';
import type { EnginePorts, Ask, Outcome } from './engine-ports.js';
import { plainRun } from '../ports/tools.js';
import { isPlanted } from '../model/planted-faults.js';

/** What an operation releases at its end, except its locks. */
interface Held {
  readonly span: TraceSpan;
  readonly unlock: () => void;
  readonly undo: readonly (() => void)[];
}

/** How a verb's operations of an earlier life of the daemon resume. */
interface Restarts {
  resumes(record: OperationRecord): boolean;
  resume(record: OperationRecord): Promise<unknown>;
}

/** Starts operations and holds the unfinished ones. Every mutating RPC runs through this class. */
export class Operations {
  readonly live = new Map<string, LiveOperation>();
  readonly hub: OperationHub;
  readonly #ends: Ends;
  readonly #requestIds: RequestIds;
  /** Operations that the next start resumes: this life is finished with them. */
  readonly suspended = new Map<string, LiveOperation>();
  /** Verbs whose operations can resume after a restart. */
  readonly #resumables = new Map<string, Restarts>();
  readonly #admissions = new Set<Promise<unknown>>();
  /** Operations that a drain does not wait for. */
  readonly #standing = new Set<string>();
  #draining = false;
  readonly #hurried = deferred();

  constructor(readonly ports: EnginePorts) {
    this.hub = new OperationHub(ports.watchIntervalMs, ports.journal.life);
    this.#ends = new Ends(ports.journal.life);
    this.#requestIds = new RequestIds(ports.journal, this.live);
  }

  /**
   * Runs the verb and follows it: the first record comes at once, the last one is final. When the
   * caller's call ends, the operation is cancelled, unless another caller waits for it or one has
   * detached. Throws the operation's error after its final record.
   */
  async *start<S extends object, R extends OperationResult>(
    verb: Verb<S, R>,
    spec: S,
    ask: Ask,
    caller: Caller,
  ): AsyncGenerator<OperationRecord, void> {
    caller.signal.throwIfAborted();
    this.#assertServing();
    if (ask.planOnly && !isPlanted('plan-runs')) {
      yield await this.#plan(verb, spec, ask, caller);
      return;
    }
    const started = await this.#find(verb, spec, ask, caller);
    caller.onOperation?.(started instanceof LiveOperation ? started.record.id : started.id);
    if (started instanceof LiveOperation && ask.shared === true) started.shareWith(ask.labels);
    if (started instanceof LiveOperation) yield* this.#follow(started, ask, caller);
    else yield { ...started, replayed: true };
  }

  /**
   * A new operation, a running one of the same request, or the record of one that has succeeded.
   */
  async #find<S extends object, R extends OperationResult>(
    verb: Verb<S, R>,
    spec: S,
    ask: Ask,
    caller: Caller,
  ): Promise<LiveOperation | OperationRecord> {
    let own: LiveOperation | undefined;
    const begin = async (attempt: number) => {
      const admission = this.#admit(verb, spec, ask, caller, attempt);
      this.#admissions.add(admission);
      return (own = await admission.finally(() => this.#admissions.delete(admission)));
    };
    for (;;) {
      const found = await this.#requestIds.once(verb.name, spec, ask, caller, begin);
      // Its caller cancelled the operation before this call could join: the cancel does not concern
      // this call.
      const isLost = found instanceof LiveOperation && found !== own && found.cancelledFor !== undefined;
      if (!isLost) return found;
      caller.signal.throwIfAborted();
    }
  }

  /**
   * Allows the verb's operations to resume after a restart: detached ones if it has `resume`, and
   * those that it `completes`.
   */
  registerResumable<S extends object, R extends OperationResult>(verb: Verb<S, R>): void {
    if (verb.resume === undefined && verb.completes === undefined) return;
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- only this verb's operations come here, with the spec that they had
    const specOf = ({ spec }: OperationRecord) => spec as S;
    this.#resumables.set(verb.name, {
      resumes: (record) =>
        resumesAfterRestart(verb.resume, specOf(record), record.detached) ||
        (record.commit !== undefined && verb.completes?.(specOf(record)) === true),
      resume: (record) => {
        const caller = { ...NOBODY, identity: record.caller };
        const { labels, detached: detach, requestId = '', attempt } = record;
        return this.#admit(
          verb,
          specOf(record),
          { labels, detach, requestId, planOnly: false },
          caller,
          attempt + 1,
          record,
        );
      },
    });
  }

  /** Whether an unfinished operation of an earlier daemon can resume without its caller. */
  resumesAfterRestart(record: OperationRecord): boolean {
    return this.#resumables.get(record.method)?.resumes(record) ?? false;
  }

  /** Resumes it, or ends it. */
  async restart(record: OperationRecord): Promise<void> {
    try {
      await this.#resumables.get(record.method)?.resume(record);
    } catch (error) {
      const end = { ...atRest(record, this.ports.clock()), error: storeError(asHostlerError(error)) };
      await this.end({ ...end, state: 'FAILED' });
      this.ports.log.finished({ ...end, state: 'FAILED' }, error);
    }
  }

  /** Records and announces the end of an operation that is not running. */
  end(record: OperationRecord): Promise<void> {
    const put = async (place: string) => {
      const final = { ...record, endPlace: place };
      await nowOrLater(this.ports.journal.put(final));
      return final;
    };
    return this.#ends.inTurn(put, (final) => {
      this.hub.publish(final, true);
      traceEnded(this.ports.tracer, final);
    });
  }

  /**
   * Accepts no new operations; running ones get the grace time, then are cancelled. Resolves when
   * none is left, or with the operations that have not ended in time after their cancel.
   */
  async drain({ graceMs, giveUpMs }: { readonly graceMs: number; readonly giveUpMs: number }) {
    this.#draining = true;
    for (const id of this.#standing) this.#stop(this.live.get(id));
    const timers = new AbortController();
    // Rejects only when it is aborted, which is after both waits.
    const after = (ms: number) => sleep(ms, undefined, { signal: timers.signal }).catch(() => undefined);
    const none = this.#drained();
    // A pending admission is not cancelled: it can wait only for a filesystem.
    await Promise.race([none, after(graceMs), this.#hurried.promise]);
    this.cancelAll();
    await Promise.race([none, after(giveUpMs)]);
    timers.abort();
    return [...this.live.values()].map(({ record }) => record);
  }

  /** A pending admission still becomes an operation, or is refused. */
  async #drained(): Promise<void> {
    while (this.live.size + this.#admissions.size > 0)
      await Promise.allSettled([...this.#admissions, ...[...this.live.values()].map(({ finished }) => finished)]);
  }

  /** Ends everything that can be ended now, instead of waiting for the drain's grace time. */
  cancelAll(): void {
    this.#hurried.resolve();
    for (const operation of this.live.values()) this.#stop(operation);
  }

  #stop(operation: LiveOperation | undefined): void {
    if (operation?.record.cancellable === true)
      operation.cancel(new HostlerError('SHUTTING_DOWN', 'the daemon is stopping'));
  }

  /** Waits for a plan slot, then plans without changes. */
  async #plan<S extends object, R extends OperationResult>(
    verb: Verb<S, R>,
    spec: S,
    ask: Ask,
    caller: Caller,
  ): Promise<OperationRecord> {
    if (verb.plan === undefined) throw new HostlerError('BUG', `${verb.name} has no plan`);
    const { admission, slots } = this.ports;
    const far = verb.far?.(spec) === true;
    const ticket = slots.enter({ slot: 'plan', far, filesystems: [], caller: placesOf(caller) }, () => undefined);
    let admitted: Admitted | undefined;
    try {
      await ticket.granted(caller.signal);
      this.#assertServing();
      const uses = verb.uses(spec);
      admitted = await admission.resolve(uses);
      await admission.check(uses, admitted);
      await admitted.sourcesFree;
      const result = await verb.plan(spec, admitted, plainRun(caller.signal));
      return { ...this.#newRecord(verb, spec, ask, caller, 1), state: 'SUCCEEDED', cancellable: false, result };
    } finally {
      ticket.release();
      await admitted?.close();
    }
  }

  async #admit<S extends object, R extends OperationResult>(
    verb: Verb<S, R>,
    spec: S,
    ask: Ask,
    caller: Caller,
    attempt: number,
    earlier?: OperationRecord,
  ): Promise<LiveOperation> {
    const { admission, journal, locks, slots } = this.ports;
    await journal.assertWritable();
    const uses = verb.uses(spec);
    const admitted = await admission.resolve(uses);
    const undo: (() => void)[] = [];
    let unlock: () => void = () => undefined;
    try {
      const begun = {
        ...this.#newRecord(verb, spec, ask, caller, attempt),
        ...(earlier === undefined ? {} : { id: earlier.id, createTime: earlier.createTime }),
        // A layer below the named one may be written too, so recovery has to look there as well.
        addresses: [...new Set([...uses.map(({ address }) => address), ...admitted.targets.keys()])],
      };
      const { record, span } = beginOperationSpan(this.ports.tracer, begun, earlier?.trace);
      const holder = { operationId: record.id, method: verb.name, sinceMs: record.createTime };
      unlock = locks.acquire(holder, admitted.keys);
      await admission.check(uses, admitted);
      const operation = new LiveOperation(record, this.ports.clock, this.hub.publish);
      const request = { slot: verb.slot(spec), caller: placesOf(caller), filesystems: admitted.filesystems };
      const ticket = slots.enter(
        { ...request, far: verb.far?.(spec) === true, standing: verb.standing === true && earlier === undefined },
        (place) => operation.update({ queuePosition: place }),
      );
      undo.push(ticket.release);
      // No await from here to `live`: a drain sees the operation there, or it is refused here.
      this.#assertServing();
      this.live.set(record.id, operation);
      if (verb.standing === true) this.#standing.add(record.id);
      undo.push(() => {
        this.live.delete(record.id);
        this.#standing.delete(record.id);
      });
      try {
        await journal.put(operation.record);
      } catch (error) {
        // The operation is refused even if the disk has its record. A drain may already wait for
        // it.
        if (earlier === undefined) journal.forget(record.id);
        operation.finish(operation.ended({ state: 'FAILED', error: storeError(asHostlerError(error)) }));
        throw error;
      }
      operation.announce();
      const { secrets = {}, input, output } = ask;
      const assignment = { operation, ticket, admitted, secrets, input, output, caller };
      this.#begin(assignment, { span, unlock, undo }, () => execute(verb, spec, assignment, this.ports));
      return operation;
    } catch (error) {
      for (const step of [unlock, ...undo].reverse()) step();
      await admitted.close();
      throw error;
    }
  }

  #begin({ operation, admitted }: Assignment, held: Held, work: () => Promise<Outcome>): void {
    const begin = () => this.#finish(operation, admitted, held, orLetGo(work(), operation, this.ports.letGoMs));
    void withinSpan(held.span, () => workFor(workOf(operation.record), begin));
  }

  /**
   * Releases locks and slot and journals the end before the end is announced; locks of abandoned
   * work are released when it returns. Never rejects.
   */
  async #finish(
    operation: LiveOperation,
    admitted: Admitted,
    { span, unlock, undo }: Held,
    work: Promise<Outcome>,
  ): Promise<void> {
    const { log } = this.ports;
    const { cause, suspended, rest, ...outcome } = await work;
    if (suspended === true) {
      await rest;
      suspendOperationSpan(span);
      return this.#suspend(operation, admitted, [unlock, ...undo]);
    }
    const closing = Promise.resolve(rest).then(() => admitted.close());
    if (rest !== undefined)
      closing.finally(unlock).catch((error: unknown) => log.cleanupFailed(operation.record, error));
    // Closed before the end gets its place: later ends then wait for nothing but the journal.
    const [closed] = await Promise.allSettled([rest === undefined ? closing : undefined]);
    if (closed.status === 'rejected') log.cleanupFailed(operation.record, closed.reason);
    const record = (place: string) =>
      recordEnd(this.ports.journal, operation, outcome, place).catch((error: unknown) => {
        log.cleanupFailed(operation.record, error);
        return operation.ended(outcome);
      });
    await this.#ends.inTurn(record, (final) => {
      // Not earlier: after a crash, a file that takes the name next must not be mistaken for this
      // operation's result.
      if (rest === undefined) unlock();
      for (const step of undo) step();
      operation.finish(final);
      endOperationSpan(span, final);
      log.finished(final, cause);
    });
  }

  /** Everything except its end: in the journal the operation stays unfinished. */
  async #suspend(operation: LiveOperation, admitted: Admitted, undo: readonly (() => void)[]): Promise<void> {
    const [closed] = await Promise.allSettled([admitted.close()]);
    this.suspended.set(operation.record.id, operation);
    for (const step of undo) step();
    operation.suspend();
    if (closed.status === 'rejected') this.ports.log.cleanupFailed(operation.record, closed.reason);
  }

  #assertServing(): void {
    if (this.#draining) throw new HostlerError('SHUTTING_DOWN', 'the daemon is stopping');
  }

  #newRecord<S extends object>(
    verb: { name: string; uses(spec: S): readonly { address: ImageAddress }[] },
    spec: S,
    ask: Ask,
    caller: Caller,
    attempt: number,
  ): OperationRecord {
    const now = this.ports.clock();
    return {
      id: this.ports.newId(),
      method: verb.name,
      caller: caller.identity,
      ...(ask.requestId === '' ? {} : { requestId: ask.requestId }),
      labels: { ...ask.labels, ...caller.grant.labels },
      ...(ask.shared === true ? { waiters: [ask.labels] } : {}),
      addresses: verb.uses(spec).map(({ address }) => address),
      spec,
      attempt,
      createTime: now,
      detached: ask.detach,
      state: 'QUEUED',
      cancellable: true,
      eventTime: now,
      warnings: [],
    };
  }

  async *#follow(operation: LiveOperation, ask: Ask, caller: Caller): AsyncGenerator<OperationRecord, void> {
    const leave = operation.join(ask.detach);
    try {
      for await (const record of operation.watch(caller.signal, this.ports.watchIntervalMs)) yield record;
    } finally {
      leave(leavingBy(caller.signal));
    }
    const { state, error } = operation.record;
    if (isFinal(state) && error !== undefined) throw restoreError(error);
  }
}
