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
      /** It is only named by what is made. */
      readonly reading?: 'unread';
    }
  /** Named in a header; it need not be there. */
  | { readonly role: 'named'; readonly address: ImageAddress }
  /** Made, under a name that must be free unless overwrite. */
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
       * A folder goes with all that is in it: no other operation begins in it meanwhile. What is in
       * it is the verb's to look at.
       */
      readonly tree?: true;
    }
  /** A folder that is made unless it is there, with `parents` also those above it. */
  | { readonly role: 'folder'; readonly address: ImageAddress; readonly parents: boolean }
  /**
   * An image that is changed where it is, with its chain: the image itself, or the layer that
   * `written` picks.
   */
  | {
      readonly role: 'inplace';
      readonly address: ImageAddress;
      readonly format: ImageFormat;
      /** `top`: what its header names need not be there. */
      readonly chain: 'whole' | 'top';
      /** Unset: the image itself. Fails with INVALID_FIELD. */
      readonly written?: (chain: Chain) => Layer;
      /**
       * Refuse when others, not in this chain, are backed by what is written: their content would
       * change.
       */
      readonly refuseDependants: (chain: Chain) => boolean;
      /** Work on a copy beside it that takes its name. */
      readonly safeCopy: boolean;
    }
  /**
   * Changed where it is, itself or the tree below it; must exist unless missingOk, and be of one of
   * these kinds.
   */
  | {
      readonly role: 'change';
      readonly address: ImageAddress;
      readonly need: EntryNeed;
      readonly kinds: readonly FileKind[];
      readonly missingOk: boolean;
      readonly allowInUse: boolean;
      /** Refused where images are backed by it. */
      readonly changesContent: boolean;
    };

/** The topmost folder that is missing, and the names of those that are to be made below it. */
export interface NewFolder {
  readonly topmost: ResolvedTarget;
  readonly below: readonly string[];
}

/** Addresses as they were resolved at admission. */
export interface Resolution {
  readonly file: (address: ImageAddress) => Resolved;
  readonly chain: (address: ImageAddress) => Chain;
  readonly target: (address: ImageAddress) => ResolvedTarget;
  /** What is to be removed; undefined where even its folder is missing. */
  readonly removal: (address: ImageAddress) => ResolvedTarget | undefined;
  /** Where a folder is to be made; undefined where it is there already. */
  readonly newFolder: (address: ImageAddress) => NewFolder | undefined;
  /** What is to be changed; undefined where it is missing. */
  readonly entry: (address: ImageAddress) => Entry | undefined;
}

/** What a verb works with while it runs. */
export interface Run extends Resolution {
  readonly operationId: string;
  /**
   * The same for every attempt at the same request; without a request id the operation's id. For
   * other daemons, as their request id.
   */
  readonly requestKey: string;
  readonly caller: Pick<Caller, 'identity' | 'roles' | 'grant'>;
  readonly signal: AbortSignal;
  readonly secrets: Secrets;
  /** What the caller streams in. */
  readonly input: AsyncIterable<Uint8Array>;
  /** To the caller, beside the events; waits while the caller reads slowly. */
  output(piece: OutputPiece, signal: AbortSignal): Promise<void>;
  /** Called before each port action: failpoints and cancel hang on it. */
  step(name: StepName): Promise<void>;
  /** Phases that must not be torn are not cancellable. */
  phase(phase: OperationPhase, cancellable?: boolean): void;
  progress(counters: Counters): void;
  warn(warning: Warning): void;
  /** It waits before it tries again; undefined: it no longer does. */
  retry(waiting: RetryWait | undefined): void;
  /** For tools: their pid is reported, the operation's cancel ends them; `onFraction` as given. */
  tool(onFraction?: (fraction: number, aheadBytes?: bigint) => void): ToolRun;
  /**
   * Fails with IMAGE_IN_USE when a process writes to something that is read, and `allowInUse` is
   * not set: one that did when the operation began, or one that has come since. `touch`, `commit`
   * and the end of the verb ask by themselves; a verb that publishes its work in another way asks
   * before it does.
   */
  assertSourcesFree(): Promise<void>;
  /**
   * The point of no return: journals the result with the evidence, then acts. Not cancellable from
   * here on. After a crash the evidence decides between SUCCEEDED with this result and
   * AGENT_RESTARTED; so it does when `act` fails after its effect. What is not durable, and what
   * fails afterwards, is a warning.
   */
  commit<R extends OperationResult>(
    phase: 'COMMITTING' | 'DELETING',
    commit: Commit & { readonly result: R },
    act: () => Promise<NotDurable | undefined>,
  ): Promise<R>;
  /**
   * The same where the target lies on another host: acts, and what fails after that is a warning.
   * Not cancellable from here on.
   */
  commitFar<R extends OperationResult>(act: () => Promise<R>): Promise<R>;
  /** For a target that another agent has published: what fails after this is a warning. */
  took<R extends OperationResult>(result: R): Promise<R>;
  /**
   * Reserves space on the target's filesystem until the operation ends, or the return value is
   * called; what the target's parts, or `taker` alone, have taken of it counts as used. Fails with
   * NO_SPACE.
   */
  reserve(target: ImageAddress, needBytes: bigint, taker?: FileRef | Taker): Promise<() => void>;
  /** The same for a file that grows where it is. */
  reserveFor(file: Growing, needBytes: bigint): Promise<() => void>;
  /** An operation before this one began to change the file and did not succeed. */
  isTouched(file: Resolved): boolean;
  /**
   * Before the first change to a file that cannot be undone: it is marked as touched until an
   * operation on it has succeeded. True when it was marked already: an operation before this one
   * began to change it and did not succeed.
   */
  touch(file: Resolved): Promise<boolean>;
  /**
   * More than `uses` named, found at work: resolved, locked until the operation ends, and checked.
   * Fails as an admission, such as with PATH_BUSY.
   */
  admit(uses: readonly Use[]): Promise<Resolution>;
  /** What `touch` marked is as whole as before: the change was undone. */
  untouch(file: Resolved): Promise<void>;
  /** `device:inode` of what other operations work on now. */
  busyElsewhere(): ReadonlyMap<string, HostlerError>;
  /** What is removed, unless published, however the verb leaves. */
  keep<T extends Discarded>(made: T): T;
  /** A private place for the target; removed, unless published, however the verb leaves. */
  part(target: ImageAddress, options: PartOptions): Promise<StagedImage>;
  /**
   * The same for a verb with `resume`, at most once a run: with the private folder and the last
   * checkpoint of an earlier attempt at the same work, where there is one. The files in it are
   * whatever that attempt left there.
   */
  resumablePart(
    target: ImageAddress,
    options: PartOptions,
  ): Promise<{ readonly part: StagedImage; readonly checkpoint: Checkpoint | undefined }>;
  /**
   * How far the work has come. The bytes before it must be durable: the attempt that resumes relies
   * on that.
   */
  checkpoint(state: Checkpoint): Promise<void>;
}

/** Several files that take space together, whatever their names. */
export interface Taker {
  readonly takenBytes: () => Promise<bigint>;
}

/** Something that removes itself; what it removed. */
export interface Discarded {
  discard(): Promise<readonly string[]>;
}

/** A file that grows where it is. */
export type Growing = FileRef & Pick<Resolved, 'address' | 'device'>;

export interface PartOptions {
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}

/**
 * How a verb resumes an earlier attempt. Such a verb asks for its part with `run.resumablePart` and
 * says with `run.checkpoint`, after a sync, how far it is. When it fails for one of the reasons of
 * `after`, or the daemon stops or dies, the private folder stays as a resume entry for
 * `limits.resume_hours`. The next request for the same work gets it; a cancel removes it.
 */
export interface Resume<Spec extends object> {
  /**
   * What makes two requests the same work on the same target, such as the source's identity and the
   * target's address.
   */
  key(spec: Spec): string;
  /** Failures after which what has come is worth keeping. */
  readonly after: readonly Reason[];
  /**
   * Whether it needs nothing that only its caller has, such as secrets: then, when detached, it
   * resumes by itself after a restart.
   */
  alone(spec: Spec): boolean;
}

/** A mutating RPC, as the engine sees it. */
export interface Verb<Spec extends object, Result extends OperationResult> {
  /** The RPC's name. */
  readonly name: string;
  slot(spec: Spec): Exclude<Slot, 'plan'>;
  /** Whether it waits for another host, as long as that likes. Absent: never. */
  far?(spec: Spec): boolean;
  /**
   * It stays open until its callers are done, or for hours: when the daemon stops, nobody waits for
   * that.
   */
  readonly standing?: boolean;
  uses(spec: Spec): readonly Use[];
  /** What `run` would do; changes nothing. Absent where the RPC has no `plan_only`. */
  plan?(spec: Spec, resolution: Resolution, tool: ToolRun): Promise<Plan>;
  /** Absent: an attempt that failed leaves nothing. */
  readonly resume?: Resume<Spec>;
  /**
   * Whether a crash after the commit may leave the work half done. Then the next start runs it
   * again from the beginning, also when nobody waits: the verb finds what is done. Absent: never.
   */
  completes?(spec: Spec): boolean;
  run(spec: Spec, run: Run): Promise<Result>;
}
