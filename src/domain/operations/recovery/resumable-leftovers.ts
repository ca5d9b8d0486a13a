import { asHostlerError } from '../../model/errors.js';
import { Admitted } from '../admitted.js';
import type { LockTable } from '../resources/locks.js';
import { foldersOf } from './resumable-work.js';
import type { KeptEntry, ResumeEntries } from './resume-entries.js';
import type { Targets } from '../../ports/targets.js';
import type { Paths } from '../../ports/paths.js';

export interface KeptPorts {
  readonly resumes: ResumeEntries;
  readonly paths: Paths;
  readonly targets: Targets;
  readonly locks: LockTable;
}

/** Removes resume entries that no operation uses. */
export class ResumableLeftovers {
  constructor(private readonly ports: KeptPorts) {}

  get entries(): readonly KeptEntry[] {
    return this.ports.resumes.kept;
  }

  /**
   * Removes the folder of an entry, then the entry; returns the removed paths. Fails with PATH_BUSY
   * if a request is taking it over.
   */
  async drop(entry: KeptEntry): Promise<readonly string[]> {
    const { resumes, paths, targets, locks } = this.ports;
    const admitted = new Admitted();
    let release: () => void = () => undefined;
    try {
      const target = await paths.target(entry.address);
      admitted.addTarget(target);
      release = locks.acquire(
        { operationId: entry.operationId, method: entry.method, sinceMs: entry.kept.sinceMs },
        admitted.keys,
      );
      if (!resumes.kept.includes(entry)) return [];
      const removed: string[] = [];
      for (const id of foldersOf(entry)) removed.push(...(await targets.clean(target, id)));
      await resumes.remove(entry);
      return removed;
    } catch (error) {
      // The folder was removed together with its parent.
      if (asHostlerError(error).reason !== 'PARENT_NOT_FOUND') throw error;
      await resumes.remove(entry);
      return [];
    } finally {
      release();
      await admitted.close();
    }
  }

  /**
   * Removes entries that are too old or exceed the limit; returns the removed paths. An entry that
   * cannot be removed now is tried again the next time.
   */
  async expire(onFailed: (entry: KeptEntry, error: unknown) => void): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const entry of this.ports.resumes.overdue()) {
      try {
        removed.push(...(await this.drop(entry)));
      } catch (error) {
        onFailed(entry, error);
      }
    }
    return removed;
  }
}
