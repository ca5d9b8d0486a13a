import { systemError } from '../linux/errno.js';
import type { HostlerError } from '../../domain/model/errors.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

/**
 * A system error of a file or folder that need not be an image, as a domain error: a missing entry
 * is a missing file. `own` overrides the reason of an errno in this place.
 */
export function fileError(error: unknown, path: string, own: Readonly<Record<string, Reason>> = {}): HostlerError {
  return systemError(error, path, { ENOENT: 'FILE_NOT_FOUND', ...own });
}
