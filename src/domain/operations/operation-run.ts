import type { Discarded, Growing, PartOptions, Resolution, Run, Taker, Use } from './verb.js';
import { ProgressMeter } from './progress.js';
import type { StagedImage, NotDurable } from '../ports/targets.js';
import { Releases } from './resources/releases.js';
import { OwnMarks } from './recovery/own-marks.js';
import type { Resolved, FileIdentity, FileRef } from '../ports/handles.js';
import type { OperationPhase, Counters, RetryWait, Warning, Commit } from './record.js';
import type { OperationResult } from './results.js';
import type { EnginePorts, Ask } from './engine-ports.js';
import type { ResumableWork } from './recovery/resumable-work.js';
import { requestKeyOf } from './request-ids.js';
import type { Secrets } from '../model/secrets.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { bothDone, untilAborted } from '../model/async.js';
import { sameFile } from '../images/read-image.js';
import type { OutputPiece } from '../ports/commands.js';
import type { Caller } from '../access/caller.js';
import { evidenceOf, mayHaveActed, tookEffect } from './recovery/evidence.js';
import type { ImageAddress } from '../model/address.js';
import type { ToolRun, RunningTool } from '../ports/tools.js';
import { nowOrLater } from './journal.js';
import type { LiveOperation } from './live-operation.js';
import type { Ticket } from './resources/slots.js';
import type { StepName } from './steps.js';
import type { Admitted } from './admitted.js';

export interface Assignment {
  readonly operation: LiveOperation;
  readonly ticket: Ticket;
  readonly admitted: Admitted;
  readonly secrets: Secrets;
  readonly input: AsyncIterable<Uint8Array> | undefined;
  readonly output: Ask['output'];
  readonly caller: Caller;
}

/** The engine's side of `Run`. */
export class OperationRun implements Run {
  readonly #meter: ProgressMeter;
  readonly #parts: StagedImage[] = [];
  readonly #discarded: Discarded[] = [];
  readonly #releases = new Releases();
  readonly marks: OwnMarks;
  readonly isTouched = (file: Resolved) => this.marks.isMarked(file);
  #made: FileIdentity | undefined;
  readonly operationId: string;
  readonly requestKey: string;
  #passed: OperationResult | undefined;

  constructor(
    private readonly method: string,
    private readonly assignment: Assignment,
    private readonly ports: EnginePorts,
    private readonly work: Pick<ResumableWork<object>, 'begin' | 'checkpoint' | 'keep' | 'forget'>,
  ) {
    this.operationId = assignment.operation.record.id;
    this.requestKey = requestKeyOf(assignment.operation.record);
    this.#meter = new ProgressMeter(ports.clock);
    this.marks = new OwnMarks({ operationId: this.operationId, method }, ports);
  }

  get signal(): AbortSignal {
    return this.assignment.operation.signal;
  }

  get secrets(): Secrets {
    return this.assignment.secrets;
  }

  get input(): AsyncIterable<Uint8Array> {
    const { input } = this.assignment;
    if (input === undefined) throw new HostlerError('BUG', 'a verb reads input that its call does not have');
    return untilAborted(input, this.signal);
  }

  async output(piece: OutputPiece, signal: AbortSignal): Promise<void> {
    await this.assignment.output?.(piece, signal);
  }

  get caller(): Caller {
    return this.assignment.caller;
  }

  readonly file: Run['file'] = (address) => this.assignment.admitted.file(address);
  readonly chain: Run['chain'] = (address) => this.assignment.admitted.chain(address);
  readonly removal: Run['removal'] = (address) => this.assignment.admitted.removal(address);
  readonly newFolder: Run['newFolder'] = (address) => this.assignment.admitted.newFolder(address);
  readonly entry: Run['entry'] = (address) => this.assignment.admitted.entry(address);
  readonly target: Run['target'] = (address) => this.assignment.admitted.target(address);

  async step(name: StepName): Promise<void> {
    this.signal.throwIfAborted();
    await this.ports.step(this.operationId, this.method, name);
  }

  /** The result after the point of no return: from then on the operation cannot fail. */
  get passed(): OperationResult | undefined {
    return this.#passed;
  }

  /** A step after which the operation cannot fail. */
  async mark(name: StepName): Promise<void> {
    try {
      await this.ports.step(this.operationId, this.method, name);
    } catch (error) {
      this.ports.log.cleanupFailed(this.assignment.operation.record, error);
    }
  }

  phase(phase: OperationPhase, cancellable = true): void {
    this.#meter.reset();
    this.assignment.operation.enter(phase, cancellable);
    this.signal.throwIfAborted();
  }

  progress(counters: Counters): void {
    this.assignment.operation.update({ progress: this.#meter.measure(counters) });
  }

  warn(warning: Warning): void {
    this.assignment.operation.warn(warning);
  }

  retry(waiting: RetryWait | undefined): void {
    this.assignment.operation.retry(waiting);
  }

  async assertSourcesFree(): Promise<void> {
    const { admitted } = this.assignment;
    await admitted.sourcesFree;
    await admitted.askSourcesFree();
  }

  /** It may have waited long for its slot: a guest may have started since. */
  async #assertUnheld(): Promise<void> {
    await this.assertSourcesFree();
    await this.assignment.admitted.askUnheld();
  }

  /** The same check when the verb is over; committed work stays, whatever fails then. */
  async assertFreeToTheEnd(): Promise<void> {
    if (this.#passed === undefined) await this.assertSourcesFree();
  }

  async commit<R extends OperationResult>(
    phase: 'COMMITTING' | 'DELETING',
    commit: Commit & { readonly result: R },
    act: () => Promise<NotDurable | undefined>,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<R> {
    const { operation } = this.assignment;
    await this.step('commit');
    await this.#assertUnheld();
    this.phase(phase, false);
    const { address, made, result } = commit;
    this.#made = made;
    operation.update({ commit: { address, result, ...evidenceOf(made, this.assignment.admitted.removal(address)) } });
    await bothDone(this.ports.journal.put(operation.record), meanwhile());
    await this.step('publish');
    try {
      const notDurable = await act();
      if (notDurable !== undefined) this.warn({ reason: 'NAME_NOT_DURABLE', message: notDurable.why });
    } catch (error) {
      if (!(await this.#tookEffect(commit, error))) throw error;
      this.warnAfterwards(error);
    }
    this.ports.rawDisks.note(made, result, this.assignment.admitted.files);
    return this.took(result);
  }

  async commitFar<R extends OperationResult>(act: () => Promise<R>): Promise<R> {
    await this.step('publish');
    await this.assertSourcesFree();
    this.phase('COMMITTING', false);
    return this.took(await act());
  }

  async took<R extends OperationResult>(result: R): Promise<R> {
    this.#passed = result;
    await this.mark('published');
    return result;
  }

  /** Reports a failure after the point of no return as a warning. */
  warnAfterwards(cause: unknown): void {
    const { reason, message } = asHostlerError(cause);
    this.ports.log.cleanupFailed(this.assignment.operation.record, cause);
    const text = `the work was done, but a later step failed (${reason}): ${message}`;
    this.warn({ reason: 'AFTERWARDS_FAILED', message: text });
  }

  /** Decides by the same evidence as after a crash. */
  async #tookEffect(commit: Commit, error: unknown): Promise<boolean> {
    if (!mayHaveActed(commit, error)) return false;
    try {
      return tookEffect(commit, await this.ports.admission.standsFor(commit.address));
    } catch (cause) {
      this.ports.log.cleanupFailed(this.assignment.operation.record, cause);
      return false;
    }
  }

  async reserve(target: ImageAddress, needBytes: bigint, taker?: FileRef | Taker): Promise<() => void> {
    await this.step('reserve');
    const { storage, directory, directoryIdentity } = this.target(target);
    // A device needs no new space; the verb that writes to it checks whether it is large enough.
    if (needBytes === 0n || storage === 'device') return () => undefined;
    const takenBytes = async () => {
      if (taker !== undefined && 'takenBytes' in taker) return taker.takenBytes();
      const takers = taker === undefined ? this.#parts : [taker];
      const taken = await Promise.all(takers.map((file) => this.ports.files.allocatedBytes(file)));
      return taken.reduce((sum, bytes) => sum + bytes, 0n);
    };
    const request = {
      path: target,
      filesystem: String(directoryIdentity.device),
      needBytes,
      takenBytes,
      freeBytes: () => this.ports.files.freeBytes(directory),
    };
    return this.#releases.add(await this.ports.space.reserve(request, this.signal));
  }

  async reserveFor(file: Growing, needBytes: bigint): Promise<() => void> {
    await this.step('reserve');
    if (needBytes === 0n) return () => undefined;
    const { files, space } = this.ports;
    const before = await files.allocatedBytes(file);
    const request = {
      path: file.address,
      filesystem: String(file.device),
      needBytes,
      takenBytes: async () => (await files.allocatedBytes(file)) - before,
      freeBytes: () => files.freeBytes(file.handle),
    };
    return this.#releases.add(await space.reserve(request, this.signal));
  }

  async touch(file: Resolved): Promise<boolean> {
    await this.step('touch');
    await this.#assertUnheld();
    return this.marks.touch(file);
  }

  async admit(uses: readonly Use[]): Promise<Resolution> {
    const { admission, locks, clock } = this.ports;
    const later = await admission.resolve(uses);
    try {
      const holder = { operationId: this.operationId, method: this.method, sinceMs: clock() };
      this.#releases.add(locks.acquire(holder, later.keys));
      await admission.check(uses, later);
    } catch (error) {
      await later.close();
      throw error;
    }
    this.assignment.admitted.join(later);
    return later;
  }

  untouch(file: Resolved): Promise<void> {
    return this.marks.untouch(file);
  }

  /** Never rejects: the work is done. */
  clearMarks(): Promise<void> {
    const before = [...this.assignment.admitted.targets.values()].flatMap(({ existing, address }) =>
      existing === undefined ? [] : [{ ...existing, address }],
    );
    const made = this.#made;
    const isMade = (file: FileIdentity) => made !== undefined && sameFile(file, made);
    // A renamed file is the same file, and keeps its mark.
    const replaced = before.filter((file) => !isMade(file));
    const isNew = replaced.length === before.length;
    return this.marks.clear(replaced, isNew ? made : undefined, (error) => {
      this.warnAfterwards(error);
    });
  }

  tool(onFraction?: (fraction: number, aheadBytes?: bigint) => void): ToolRun {
    const { operation } = this.assignment;
    const onChild = (child: RunningTool | undefined) => {
      const { pid } = operation.record;
      if (child === undefined && this.signal.aborted && pid !== undefined) operation.endedPids.push(pid);
      operation.update({ pid: child?.pid, pidStart: child?.start });
      if (child === undefined) return;
      // Not awaited: it only helps to find a child that outlives a crash.
      nowOrLater(this.ports.journal.put(operation.record)).catch((error: unknown) =>
        this.ports.log.cleanupFailed(operation.record, error),
      );
    };
    return { signal: this.signal, onChild, ...(onFraction === undefined ? {} : { onFraction }) };
  }

  busyElsewhere(): ReadonlyMap<string, HostlerError> {
    return this.ports.locks.heldByOthers(this.operationId);
  }

  keep<T extends Discarded>(made: T): T {
    this.#discarded.push(made);
    return made;
  }

  async part(target: ImageAddress, options: PartOptions): Promise<StagedImage> {
    await this.step('prepare');
    return this.#prepare(target, options, []);
  }

  readonly resumablePart: Run['resumablePart'] = async (target, options) => {
    await this.step('prepare');
    return this.work.begin(target, (takeOver) => this.#prepare(target, options, takeOver));
  };

  readonly checkpoint: Run['checkpoint'] = async (state) => {
    await this.step('checkpoint');
    await this.work.checkpoint(state);
  };

  async #prepare(
    target: ImageAddress,
    { overwrite, attributes }: PartOptions,
    takeOver: readonly string[],
  ): Promise<StagedImage> {
    const { operationId } = this;
    const onLost = (message: string) => this.warn({ reason: 'RIGHTS_NOT_KEPT', message });
    const request = { operationId, overwrite, attributes, takeOver, onLost };
    const part = await this.ports.targets.prepare(this.target(target), request);
    this.#parts.push(part);
    return part;
  }

  /**
   * Removes what was not published. A failure here is logged and warned of: it must not hide how
   * the verb ended.
   */
  async cleanUp(keep: boolean): Promise<void> {
    const { operation } = this.assignment;
    this.#releases.end();
    const kept = await this.#cleaning(() => (keep ? this.work.keep() : Promise.resolve(false)));
    for (const part of [...this.#parts, ...this.#discarded])
      await this.#cleaning(async () => {
        operation.removedPaths.push(...(await part.discard()));
      });
    if (kept !== true) await this.#cleaning(() => this.work.forget());
  }

  async #cleaning<T>(act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      this.ports.log.cleanupFailed(this.assignment.operation.record, error);
      this.warn({
        reason: 'CLEANUP_FAILED',
        message: `some files of ${this.operationId} could not be removed; see the log of the daemon`,
      });
      return undefined;
    }
  }
}
