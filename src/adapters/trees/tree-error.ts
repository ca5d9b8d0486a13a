import type { Reason } from '../../domain/model/reasons/reasons.js';
import { errnoOf } from '../linux/errno.js';

/** Why the work on a tree ended, and where in it. */
export class TreeError extends Error {
  constructor(
    /** An errno, or one of our reasons. */
    readonly why: { readonly errno: string } | { readonly reason: Reason; readonly words: string },
    /** From the top on. */
    readonly names: readonly Buffer[],
    cause?: unknown,
  ) {
    super('the work on a tree ended', { cause });
  }
}

/** An error of the system with its place; anything else as it is. */
export function placed(error: unknown, names: readonly Buffer[]): unknown {
  const errno = errnoOf(error);
  return error instanceof TreeError || errno === undefined ? error : new TreeError({ errno }, names, error);
}
