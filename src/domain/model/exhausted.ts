/** Errnos for a resource that is used up, and which resource that is. */
const WHY: Readonly<Record<string, string>> = {
  EAGAIN: 'there are too many processes or threads',
  EMFILE: 'the daemon has too many files open',
  ENFILE: 'the host has too many files open',
  ENOMEM: 'there is no memory left',
};
/** A short wait costs little, and resources are freed all the time. */
export const EXHAUSTED_RETRY_MS = 1000;

export interface Exhaustion {
  readonly errno: string;
  readonly why: string;
}

/** Calls that start a process or thread: for other calls EAGAIN has another meaning. */
const STARTS = /^spawn\b|Worker initialization failure/;
/** Node's error when a thread cannot start because files are used up: it has no errno. */
const UNREADABLE = /^Cannot read package config .*: (.+?)\.?$/s;
const BY_WORDS: Readonly<Record<string, string>> = {
  'too many open files': 'EMFILE',
  'file table overflow': 'ENFILE',
  'not enough memory': 'ENOMEM',
};

/**
 * The errno, and its meaning, if the error says that a resource of the host, or the daemon's share
 * of it, is used up; undefined for all other errors.
 */
export function exhaustion(error: unknown): Exhaustion | undefined {
  if (!(error instanceof Error)) return undefined;
  const starts = STARTS.test(error.message);
  const errno = starts ? /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] : (ofStart(error.message) ?? codeOf(error));
  if (typeof errno !== 'string' || (errno === 'EAGAIN' && !starts)) return undefined;
  const why = Object.hasOwn(WHY, errno) ? WHY[errno] : undefined;
  return why === undefined ? undefined : { errno, why };
}

function ofStart(message: string): string | undefined {
  const words = UNREADABLE.exec(message)?.[1] ?? '';
  return Object.hasOwn(BY_WORDS, words) ? BY_WORDS[words] : undefined;
}

function codeOf(error: Error): unknown {
  return 'code' in error ? error.code : undefined;
}

/** The exhaustion for a process or thread that a tool could not start. */
export const NO_PROCESSES: Exhaustion = { errno: 'EAGAIN', why: WHY['EAGAIN'] ?? '' };
