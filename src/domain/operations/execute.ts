import type { ImageAddress } from '../address.js';
import type { Caller } from '../caller.js';
import { asHostlerError } from '../errors.js';
import type { FileAttributes, Part, ToolRun } from '../ports.js';
import type { Admitted } from './admission.js';
import type { EnginePorts } from './engine.js';
import type { LiveOperation } from './live-operation.js';
import { ProgressMeter } from './progress.js';
import {
  storeError,
  type OperationPhase,
  type OperationResult,
  type OperationState,
  type Progress,
  type StoredError,
  type Warning,
} from './record.js';
import type { Ticket } from './slots.js';
import type { Run, Secrets, Verb } from './verb.js';

/** Called before each action that changes something; an error thrown here fails the operation at that step. */
export type Step = (operationId: string, method: string, name: string) => Promise<void>;

export interface Assignment {
  readonly operation: LiveOperation;
  readonly ticket: Ticket;
  readonly admitted: Admitted;
  readonly secrets: Secrets;
  readonly caller: Caller;
}

/** How it ended; the cause is for the log. */
export interface Outcome {
  readonly state: OperationState;
  readonly result?: OperationResult;
  readonly error?: StoredError;
  readonly cause?: unknown;
}

/** Waits for the slot, runs the verb, cleans up. Never rejects. */
export async function execute<S extends object, R extends OperationResult>(
  verb: Verb<S, R>,
  spec: S,
  assignment: Assignment,
  ports: EnginePorts,
): Promise<Outcome> {
  const run = new OperationRun(verb.name, assignment, ports);
  const outcome = await attempt(verb, spec, run, assignment, ports);
  await run.cleanUp();
  return outcome;
}

async function attempt<S extends object, R extends OperationResult>(
  verb: Verb<S, R>,
  spec: S,
  run: Run,
  { operation, ticket }: Assignment,
  ports: EnginePorts,
): Promise<Outcome> {
  try {
    await ticket.granted(operation.signal);
    operation.become('RUNNING', { startTime: ports.clock(), queuePosition: undefined });
    await ports.journal.put(operation.record);
    return { state: 'SUCCEEDED', result: await verb.run(spec, run) };
  } catch (cause) {
    // A cancel is a cancel, whatever the tool said when it was ended.
    if (operation.signal.aborted)
      return { state: 'CANCELLED', error: storeError(asHostlerError(operation.signal.reason)), cause };
    return { state: 'FAILED', error: storeError(asHostlerError(cause)), cause };
  }
}

/** The engine's side of `Run`. */
class OperationRun implements Run {
  readonly #meter: ProgressMeter;
  readonly #parts: Part[] = [];
  readonly operationId: string;

  constructor(
    private readonly method: string,
    private readonly assignment: Assignment,
    private readonly ports: EnginePorts,
  ) {
    this.operationId = assignment.operation.record.id;
    this.#meter = new ProgressMeter(ports.clock);
  }

  get signal(): AbortSignal {
    return this.assignment.operation.signal;
  }

  get secrets(): Secrets {
    return this.assignment.secrets;
  }

  get caller(): Caller {
    return this.assignment.caller;
  }

  readonly file: Run['file'] = (address) => this.assignment.admitted.file(address);
  readonly chain: Run['chain'] = (address) => this.assignment.admitted.chain(address);
  readonly target: Run['target'] = (address) => this.assignment.admitted.target(address);

  async step(name: string): Promise<void> {
    this.signal.throwIfAborted();
    await this.ports.step(this.operationId, this.method, name);
  }

  phase(phase: OperationPhase, cancellable = true): void {
    this.#meter.reset();
    this.assignment.operation.enter(phase, cancellable);
    this.signal.throwIfAborted();
  }

  progress(counters: Pick<Progress, 'doneBytes' | 'totalBytes' | 'skippedBytes'>): void {
    this.assignment.operation.update({ progress: this.#meter.measure(counters) });
  }

  warn(warning: Warning): void {
    const { operation } = this.assignment;
    operation.update({ warnings: [...operation.record.warnings, warning] });
  }

  tool(onFraction?: (fraction: number) => void): ToolRun {
    const { operation } = this.assignment;
    const onChild = (pid: number | undefined) => {
      if (pid === undefined && this.signal.aborted && operation.record.pid !== undefined)
        operation.endedPids.push(operation.record.pid);
      operation.update({ pid });
    };
    return { signal: this.signal, onChild, ...(onFraction === undefined ? {} : { onFraction }) };
  }

  async part(
    target: ImageAddress,
    { overwrite, attributes }: { overwrite: boolean; attributes: FileAttributes },
  ): Promise<Part> {
    await this.step('prepare');
    const part = await this.ports.targets.prepare(this.target(target), {
      operationId: this.operationId,
      overwrite,
      attributes,
    });
    this.#parts.push(part);
    return part;
  }

  /** Removes what was not published. A failure here is logged and warned of: it must not hide how the verb ended. */
  async cleanUp(): Promise<void> {
    const { operation } = this.assignment;
    for (const part of this.#parts) {
      try {
        operation.removedPaths.push(...(await part.discard()));
      } catch (error) {
        this.ports.log.cleanupFailed(operation.record, error);
        this.warn({
          reason: 'CLEANUP_FAILED',
          message: `something of ${this.operationId} could not be removed; see the log of the daemon`,
        });
      }
    }
  }
}
