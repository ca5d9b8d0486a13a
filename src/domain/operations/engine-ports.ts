import type { Journal } from './journal.js';
import type { Admission } from './admission.js';
import type { LockTable } from './resources/locks.js';
import type { Slots } from './resources/slots.js';
import type { Files, Clock } from '../ports/images.js';
import type { SpaceLedger } from './resources/space.js';
import type { TouchedImages } from './recovery/touched.js';
import type { RawDisks } from './raw-disks.js';
import type { ResumeEntries } from './recovery/resume-entries.js';
import type { Secrets } from '../model/secrets.js';
import type { OutputPiece } from '../ports/commands.js';
import type { OperationRecord, OperationState, StoredError } from './record.js';
import type { OperationResult } from './results.js';
import type { Targets } from '../ports/targets.js';
import type { StepName } from './steps.js';
import type { Tracer } from '../ports/tracer.js';

export interface EnginePorts {
  readonly journal: Journal;
  readonly admission: Admission;
  readonly locks: LockTable;
  readonly slots: Slots;
  readonly targets: Targets;
  readonly files: Files;
  readonly space: SpaceLedger;
  readonly touched: TouchedImages;
  readonly rawDisks: RawDisks;
  readonly resumes: ResumeEntries;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly step: Step;
  readonly tracer: Tracer;
  readonly log: OperationLog;
  /** How long a cancelled operation is waited for; a disk that does not answer blocks no caller. */
  readonly letGoMs: number;
  /** Minimum interval of events for a watcher. */
  readonly watchIntervalMs: number;
}

/** A caller's options for the engine, in addition to the verb's spec. */
export interface Ask {
  readonly detach: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly planOnly: boolean;
  /** Empty: none. */
  readonly requestId: string;
  /** All requesters share the operation: it carries the labels of all of them. */
  readonly shared?: true;
  readonly secrets?: Secrets;
  /** The caller's input stream; read once, by the operation that this call starts. */
  readonly input?: AsyncIterable<Uint8Array>;
  /**
   * Receives the output of the operation that this call starts; waits for its reader until the
   * signal is aborted.
   */
  readonly output?: (piece: OutputPiece, signal: AbortSignal) => Promise<void>;
}

/** Events for the log. */
export interface OperationLog {
  finished(record: OperationRecord, cause: unknown): void;
  cleanupFailed(record: OperationRecord, cause: unknown): void;
}

/** How an operation ended; the cause is for the log. */
export interface Outcome {
  /** The daemon stops, and its next start resumes the operation. */
  readonly suspended?: true;
  readonly state: OperationState;
  readonly result?: OperationResult;
  readonly error?: StoredError;
  readonly cause?: unknown;
  /**
   * A filesystem does not answer: until this settles, the operation's resources are not free. Never
   * rejects.
   */
  readonly rest?: Promise<unknown>;
}

/**
 * Called before each action that changes something; an error that it throws fails the operation at
 * that step.
 */
export type Step = (operationId: string, method: string, name: StepName) => Promise<void>;
