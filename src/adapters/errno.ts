import { HostlerError, type Reason } from '../domain/errors.js';

const REASONS: Readonly<Record<string, Reason>> = {
  ENOENT: 'IMAGE_NOT_FOUND',
  ENOTDIR: 'IMAGE_NOT_FOUND',
  ENAMETOOLONG: 'IMAGE_NOT_FOUND',
  EACCES: 'ACCESS_DENIED',
  EPERM: 'ACCESS_DENIED',
  EROFS: 'ROOT_READ_ONLY',
  ENOSPC: 'NO_SPACE',
  EDQUOT: 'NO_SPACE',
  EFBIG: 'NO_SPACE',
  EEXIST: 'TARGET_EXISTS',
  EISDIR: 'NOT_A_FILE',
  ENXIO: 'NOT_A_FILE',
  EMFILE: 'TOO_MANY_OPERATIONS',
  ENFILE: 'TOO_MANY_OPERATIONS',
  EIO: 'IO_ERROR',
};

/** A system error as a domain error; `own` says what an errno means in this place. */
export function systemError(error: unknown, path: string, own: Readonly<Record<string, Reason>> = {}): HostlerError {
  if (error instanceof HostlerError) return error;
  const code = errnoOf(error);
  if (code === undefined) return new HostlerError('BUG', 'internal error; see the log of the daemon', { cause: error });
  const reason = own[code] ?? REASONS[code] ?? 'IO_ERROR';
  return new HostlerError(reason, `${path}: ${code}`, { facts: { path, errno: code }, cause: error });
}

export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
