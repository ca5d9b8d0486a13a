import { HostlerError } from '../../domain/model/errors.js';
import { ERRNOS } from './errno-table.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

const BY_NUMBER = new Map(ERRNOS.map(([number, name]) => [number, name]));
const BY_NAME = new Map(ERRNOS.map(([, name, sentence, reason]) => [name, { sentence, reason }]));
/** libuv's names that differ from ours for the same number. */
const OTHER_NAMES: Readonly<Record<string, string>> = { ENOTSUP: 'EOPNOTSUPP', EWOULDBLOCK: 'EAGAIN' };

/** A system error as a domain error; `own` overrides the reason of an errno in this place. */
export function systemError(error: unknown, path: string, own: Readonly<Record<string, Reason>> = {}): HostlerError {
  if (error instanceof HostlerError) return error;
  const code = errnoOf(error);
  const known = code === undefined ? undefined : BY_NAME.get(OTHER_NAMES[code] ?? code);
  if (code === undefined || known === undefined)
    return new HostlerError('BUG', 'internal error; see the log of the daemon', { cause: error });
  const facts = { path, errno: code };
  return new HostlerError(own[code] ?? known.reason, `${path}: ${known.sentence} (${code})`, { facts, cause: error });
}

/** The name of a system error's errno, also if libuv has none; other codes of Node unchanged. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  if (code !== undefined && BY_NAME.has(OTHER_NAMES[code] ?? code)) return code;
  // Other libraries have their own numbers: zlib's Z_BUF_ERROR is -5.
  const isOfSystem = 'syscall' in error;
  const number = isOfSystem && 'errno' in error && typeof error.errno === 'number' ? error.errno : undefined;
  return (number === undefined ? undefined : BY_NUMBER.get(-number)) ?? code;
}
