import type { ImageAddress } from '../../model/address.js';
import { HostlerError } from '../../model/errors.js';
import type { OperationRecord } from '../record.js';
import type { Checkpoint, ResumeEntries, ResumeEntry } from './resume-entries.js';
import type { Resume } from '../verb.js';
import type { StagedImage } from '../../ports/targets.js';

/** One operation's view of its resume entry. */
export class ResumableWork<S extends object> {
  #entry: ResumeEntry | undefined;
  #part: StagedImage | undefined;

  constructor(
    private readonly resume: Resume<S> | undefined,
    private readonly spec: S,
    private readonly record: () => OperationRecord,
    private readonly entries: ResumeEntries,
  ) {}

  /**
   * The part, made by `prepare` from the folder of an earlier attempt if there is one, and the
   * checkpoint of that attempt.
   */
  async begin(
    address: ImageAddress,
    prepare: (takeOver: readonly string[]) => Promise<StagedImage>,
  ): Promise<{ readonly part: StagedImage; readonly checkpoint: Checkpoint | undefined }> {
    const { id, method, labels } = this.record();
    if (this.resume === undefined) throw new HostlerError('BUG', `${method} has no resume`);
    const key = JSON.stringify([method, address, this.resume.key(this.spec)]);
    // No other operation works on it: this one has locked the target.
    const former = this.entries.find(key);
    const entry = { key, operationId: id, method, labels, address, checkpoint: former?.checkpoint ?? {} };
    // Before the folder is renamed, so that a crash in between loses neither.
    if (former !== undefined) await this.entries.put({ ...entry, formerId: former.operationId });
    const part = await prepare(former === undefined ? [] : foldersOf(former));
    this.#part = part;
    this.#entry = entry;
    if (former !== undefined && !part.inherited) await this.entries.remove(entry);
    return { part, checkpoint: part.inherited ? former?.checkpoint : undefined };
  }

  async checkpoint(checkpoint: Checkpoint): Promise<void> {
    if (this.#entry === undefined) throw new HostlerError('BUG', 'a checkpoint without a resumable part');
    this.#entry = { ...this.#entry, checkpoint };
    await this.entries.put(this.#entry);
  }

  /** Releases the part and keeps it for later; false if there is nothing worth keeping. */
  async keep(): Promise<boolean> {
    if (this.#entry === undefined || this.#part === undefined) return false;
    if (this.entries.find(this.#entry.key)?.operationId !== this.#entry.operationId) return false;
    await this.entries.keep(this.#entry, await this.#part.leave());
    return true;
  }

  /** Removes the entry after its folder was removed. */
  async forget(): Promise<void> {
    if (this.#entry !== undefined) await this.entries.remove(this.#entry);
  }
}

/** The operations whose names the folder may have. */
export function foldersOf({ operationId, formerId }: ResumeEntry): readonly string[] {
  return formerId === undefined ? [operationId] : [operationId, formerId];
}

/** Whether the operation resumes by itself when the daemon restarts. */
export function resumesAfterRestart<S extends object>(
  resume: Resume<S> | undefined,
  spec: S,
  detached: boolean,
): boolean {
  return detached && resume?.alone(spec) === true;
}
