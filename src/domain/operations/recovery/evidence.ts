/**
 * What tells whether an operation has taken effect: the same in the life in which it acts and in
 * the one after a crash.
 */
import { asHostlerError } from '../../model/errors.js';
import { sameFile } from '../../images/read-image.js';
import type { Commit } from '../record.js';
import type { Reason } from '../../model/reasons/reasons.js';
import type { FileIdentity } from '../../ports/handles.js';
import type { ResolvedTarget } from '../../ports/targets.js';

/** What a removal says that came too late. */
const GONE_BEFORE: readonly Reason[] = ['IMAGE_NOT_FOUND', 'FILE_NOT_FOUND'];

/**
 * What a commit leaves behind for later: which file the name will stand for, and in which folder
 * that is so.
 */
export function evidenceOf(made: FileIdentity | undefined, target: ResolvedTarget | undefined) {
  return {
    ...(made === undefined ? {} : { made: { device: made.device, inode: made.inode } }),
    ...(target?.storage === 'file' ? { folder: target.directoryIdentity } : {}),
  } satisfies Partial<Commit>;
}

/** Whether what the commit speaks of has happened, by what the target's name stands for now. */
export function tookEffect({ made }: Pick<Commit, 'made'>, existing: ResolvedTarget['existing']): boolean {
  if (made === undefined) return existing === undefined;
  return existing !== undefined && sameFile(made, existing);
}

/**
 * Whether an act that failed may have taken effect before: a file that another process removed was
 * not removed by us.
 */
export function mayHaveActed({ made }: Pick<Commit, 'made'>, failure: unknown): boolean {
  return made !== undefined || !GONE_BEFORE.includes(asHostlerError(failure).reason);
}
