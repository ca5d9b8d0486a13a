/**
 * Decides whether an operation has taken effect, by the same rules during its life and after a
 * crash.
 */
import { asHostlerError } from '../../model/errors.js';
import { sameFile } from '../../images/read-image.js';
import type { Commit } from '../record.js';
import type { Reason } from '../../model/reasons/reasons.js';
import type { FileIdentity } from '../../ports/handles.js';
import type { ResolvedTarget } from '../../ports/targets.js';

/** Reasons of a removal that came too late. */
const GONE_BEFORE: readonly Reason[] = ['IMAGE_NOT_FOUND', 'FILE_NOT_FOUND'];

/** The evidence that a commit stores: which file the name will lead to, and in which folder. */
export function evidenceOf(made: FileIdentity | undefined, target: ResolvedTarget | undefined) {
  return {
    ...(made === undefined ? {} : { made: { device: made.device, inode: made.inode } }),
    ...(target?.storage === 'file' ? { folder: target.directoryIdentity } : {}),
  } satisfies Partial<Commit>;
}

/** Whether the commit has happened, judged by what the target's name leads to now. */
export function tookEffect({ made }: Pick<Commit, 'made'>, existing: ResolvedTarget['existing']): boolean {
  if (made === undefined) return existing === undefined;
  return existing !== undefined && sameFile(made, existing);
}

/**
 * Whether a failed action may have taken effect before: a file that another process removed was not
 * removed by this operation.
 */
export function mayHaveActed({ made }: Pick<Commit, 'made'>, failure: unknown): boolean {
  return made !== undefined || !GONE_BEFORE.includes(asHostlerError(failure).reason);
}
