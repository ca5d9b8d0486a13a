import type { Reason } from '../../domain/model/reasons/reasons.js';
import { errnoOf } from '../linux/errno.js';

/** Why the work on a tree ended, and at which entry. */
export class TreeError extends Error {
  constructor(
    /** An errno, or a reason of Hostler. */
    readonly why: { readonly errno: string } | { readonly reason: Reason; readonly words: string },
    /** Names from the top down. */
    readonly names: readonly Buffer[],
    cause?: unknown,
  ) {
    super('the work on a tree ended', { cause });
  }
}

/** A system error with its place; any other error unchanged. */
export function placed(error: unknown, names: readonly Buffer[]): unknown {
  const errno = errnoOf(error);
  return error instanceof TreeError || errno === undefined ? error : new TreeError({ errno }, names, error);
}
