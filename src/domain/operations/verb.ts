import type { ImageAddress } from '../model/address.js';
import type { HostlerError } from '../model/errors.js';
import type { Caller } from '../access/caller.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Commit, Counters, OperationPhase, RetryWait, Warning } from './record.js';
import type { OperationResult, Plan } from './results.js';
import type { Checkpoint } from './recovery/resume-entries.js';
import type { Slot } from './resources/slots.js';
import type { StepName } from './steps.js';
import type { OutputPiece } from '../ports/commands.js';
import type { Secrets } from '../model/secrets.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { Entry, FileAttributes, FileKind, FileRef, ImageKind, Resolved } from '../ports/handles.js';
import type { NotDurable, StagedImage, ResolvedTarget } from '../ports/targets.js';
import type { Chain, Layer, ToolRun } from '../ports/tools.js';
import type { EntryNeed } from '../ports/paths.js';

/** How a verb uses an address: decides what is resolved, checked and locked before it starts. */
export type Use =
  /** Read. With a format its whole chain is resolved and locked too. */
  | {
      readonly role: 'source';
      readonly address: ImageAddress;
      readonly format?: ImageFormat;
      readonly allowInUse: boolean;
      /**
       * Untrusted images are accepted: the verb puts them into quarantine (`quarantine`) before any
       * tool opens them.
       */
      readonly takesForeign?: true;
      /** The new image only names it. */
      readonly reading?: 'unread';
    }
  /** Named in a header; it need not exist. */
  | { readonly role: 'named'; readonly address: ImageAddress }
  /** Created, under a name that must be free unless overwrite. */
  | {
      readonly role: 'target';
      readonly address: ImageAddress;
      readonly overwrite: boolean;
      readonly allowDependants: boolean;
    }
  /** Removed; must exist unless missingOk, and be of one of these kinds. */
  | {
      readonly role: 'removal';
      readonly address: ImageAddress;
      readonly kinds: readonly ImageKind[];
      readonly missing: Extract<Reason, 'IMAGE_NOT_FOUND' | 'FILE_NOT_FOUND'>;
      readonly missingOk: boolean;
      readonly allowInUse: boolean;
      readonly allowDependants: boolean;
      /**
       * A folder is removed with everything in it: no other operation may begin in it meanwhile.
       * The verb itself checks its content.
       */
      readonly tree?: true;
    }
  /** A folder that is created unless it exists, with `parents` also its missing parents. */
  | { readonly role: 'folder'; readonly address: ImageAddress; readonly parents: boolean }
  /**
   * An image that is changed in place, with its chain: the image itself, or the layer that
   * `written` selects.
   */
  | {
      readonly role: 'inplace';
      readonly address: ImageAddress;
      readonly format: ImageFormat;
      /** `top`: files that its header names need not exist. */
      readonly chain: 'whole' | 'top';
      /** Unset: the image itself. Fails with INVALID_FIELD. */
      readonly written?: (chain: Chain) => Layer;
      /**
       * Refuse if images outside this chain are backed by the written layer: their content would
       * change.
       */
      readonly refuseDependants: (chain: Chain) => boolean;
      /** Work on a copy beside it, which then takes its name. */
      readonly safeCopy: boolean;
    }
  /**
   * Changed in place, itself or the tree below it; must exist unless missingOk, and be of one of
   * these kinds.
   */
  | {
      readonly role: 'change';
      readonly address: ImageAddress;
      readonly need: EntryNeed;
      readonly kinds: readonly FileKind[];
      readonly missingOk: boolean;
      readonly allowInUse: boolean;
      /** Refused if images are backed by it. */
      readonly changesContent: boolean;
    };

/** The topmost missing folder, and the names to be created below it. */
export interface NewFolder {
  readonly topmost: ResolvedTarget;
  readonly below: readonly string[];
}

/** Addresses as they were resolved at admission. */
export interface Resolution {
  readonly file: (address: ImageAddress) => Resolved;
  readonly chain: (address: ImageAddress) => Chain;
  readonly target: (address: ImageAddress) => ResolvedTarget;
  /** What is removed; undefined if even its folder is missing. */
  readonly removal: (address: ImageAddress) => ResolvedTarget | undefined;
  /** Where a folder is created; undefined if it exists already. */
  readonly newFolder: (address: ImageAddress) => NewFolder | undefined;
  /** What is changed; undefined if it is missing. */
  readonly entry: (address: ImageAddress) => Entry | undefined;
}

/** What a verb works with while it runs. */
export interface Run extends Resolution {
  readonly operationId: string;
  /**
   * The same for every attempt at the same request; without a request id the operation's id. Used
   * as the request id for other daemons.
   */
  readonly requestKey: string;
  readonly caller: Pick<Caller, 'identity' | 'roles' | 'grant'>;
  readonly signal: AbortSignal;
  readonly secrets: Secrets;
  /** The caller's input stream. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Sends output to the caller, in addition to the events; waits while the caller reads slowly. */
  output(piece: OutputPiece, signal: AbortSignal): Promise<void>;
  /** Called before each action of a port: failpoints and cancel take effect here. */
  step(name: StepName): Promise<void>;
  /** Phases that must not be interrupted are not cancellable. */
  phase(phase: OperationPhase, cancellable?: boolean): void;
  progress(counters: Counters): void;
  warn(warning: Warning): void;
  /** The work waits before the next attempt; undefined: it no longer does. */
  retry(waiting: RetryWait | undefined): void;
  /** For tools: their pid is reported, the operation's cancel ends them; `onFraction` as given. */
  tool(onFraction?: (fraction: number, aheadBytes?: bigint) => void): ToolRun;
  /**
   * Fails with IMAGE_IN_USE if a process writes to an image that is read, and `allowInUse` is not
   * set: when the operation began, or since. `touch`, `commit` and the end of the verb check by
   * themselves; a verb that publishes its work in another way calls this before.
   */
  assertSourcesFree(): Promise<void>;
  /**
   * The point of no return: journals the result with the evidence, then acts. Not cancellable from
   * here on. After a crash the evidence decides between SUCCEEDED with this result and
   * AGENT_RESTARTED; the same if `act` fails after it took effect. A missing sync, and later
   * failures, become warnings. What must be done before `act`, and can be done while the journal
   * writes, is `meanwhile`.
   */
  commit<R extends OperationResult>(
    phase: 'COMMITTING' | 'DELETING',
    commit: Commit & { readonly result: R },
    act: () => Promise<NotDurable | undefined>,
    meanwhile?: () => Promise<void>,
  ): Promise<R>;
  /**
   * The same for a target on another host: acts, and later failures become warnings. Not
   * cancellable from here on.
   */
  commitFar<R extends OperationResult>(act: () => Promise<R>): Promise<R>;
  /** For a target that another agent has published: later failures become warnings. */
  took<R extends OperationResult>(result: R): Promise<R>;
  /**
   * Reserves space on the target's filesystem until the operation ends, or the returned function is
   * called; space that the target's parts, or `taker` alone, have taken counts as used. Fails with
   * NO_SPACE.
   */
  reserve(target: ImageAddress, needBytes: bigint, taker?: FileRef | Taker): Promise<() => void>;
  /** The same for a file that grows in place. */
  reserveFor(file: Growing, needBytes: bigint): Promise<() => void>;
  /** An earlier operation began to change the file and did not succeed. */
  isTouched(file: Resolved): boolean;
  /**
   * Call it before the first change to a file that cannot be undone: the file is marked as touched
   * until an operation on it has succeeded. True if it was marked already: an earlier operation
   * began to change it and did not succeed.
   */
  touch(file: Resolved): Promise<boolean>;
  /**
   * Admits more than `uses` named, found while working: resolved, locked until the operation ends,
   * and checked. Fails as an admission, such as with PATH_BUSY.
   */
  admit(uses: readonly Use[]): Promise<Resolution>;
  /** Removes the mark of `touch`: the change was undone. */
  untouch(file: Resolved): Promise<void>;
  /** `device:inode` of what other operations work on now. */
  busyElsewhere(): ReadonlyMap<string, HostlerError>;
  /** Registers something that is removed at the end of the verb, unless it is published. */
  keep<T extends Discarded>(made: T): T;
  /** A private place for the target; removed at the end of the verb, unless it is published. */
  part(target: ImageAddress, options: PartOptions): Promise<StagedImage>;
  /**
   * The same for a verb with `resume`, at most once in a run: with the private folder and the last
   * checkpoint of an earlier attempt at the same work, if there is one. The files in it are as that
   * attempt left them.
   */
  resumablePart(
    target: ImageAddress,
    options: PartOptions,
  ): Promise<{ readonly part: StagedImage; readonly checkpoint: Checkpoint | undefined }>;
  /**
   * Records the progress of the work. The bytes before it must be durable: an attempt that resumes
   * relies on that.
   */
  checkpoint(state: Checkpoint): Promise<void>;
}

/** Several files that take space together, under any names. */
export interface Taker {
  readonly takenBytes: () => Promise<bigint>;
}

/** Something that can be removed; returns the removed paths. */
export interface Discarded {
  discard(): Promise<readonly string[]>;
}

/** A file that grows in place. */
export type Growing = FileRef & Pick<Resolved, 'address' | 'device'>;

export interface PartOptions {
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}

/**
 * How a verb resumes an earlier attempt. Such a verb gets its part from `run.resumablePart` and
 * reports its progress with `run.checkpoint`, after a sync. If it fails for one of the reasons in
 * `after`, or the daemon stops or crashes, the private folder stays as a resume entry for
 * `limits.resume_hours`. The next request for the same work gets it; a cancel removes it.
 */
export interface Resume<Spec extends object> {
  /**
   * What makes two requests the same work on the same target, such as the source's identity and the
   * target's address.
   */
  key(spec: Spec): string;
  /** Failures after which received data is worth keeping. */
  readonly after: readonly Reason[];
  /**
   * Whether it needs nothing that only its caller has, such as secrets: a detached one then resumes
   * by itself after a restart.
   */
  alone(spec: Spec): boolean;
}

/** A mutating RPC, as the engine sees it. */
export interface Verb<Spec extends object, Result extends OperationResult> {
  /** The RPC's name. */
  readonly name: string;
  slot(spec: Spec): Exclude<Slot, 'plan'>;
  /** Whether it may wait long for another host. Absent: never. */
  far?(spec: Spec): boolean;
  /**
   * It stays open until its callers are done, or for hours: a stop of the daemon does not wait for
   * it.
   */
  readonly standing?: boolean;
  uses(spec: Spec): readonly Use[];
  /** What `run` would do; changes nothing. Absent for an RPC without `plan_only`. */
  plan?(spec: Spec, resolution: Resolution, tool: ToolRun): Promise<Plan>;
  /** Absent: a failed attempt leaves nothing. */
  readonly resume?: Resume<Spec>;
  /**
   * Whether a crash after the commit may leave the work half done. Then the next start runs it
   * again from the beginning, also without a waiting caller: the verb detects what is done. Absent:
   * never.
   */
  completes?(spec: Spec): boolean;
  run(spec: Spec, run: Run): Promise<Result>;
}
