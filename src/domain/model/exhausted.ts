/** What the system answers when it has no more of something, and of what. */
const WHY: Readonly<Record<string, string>> = {
  EAGAIN: 'there are too many processes or threads',
  EMFILE: 'the daemon has too many files open',
  ENFILE: 'the host has too many files open',
  ENOMEM: 'there is no memory left',
};
/** Waiting does not cost anybody much, and what is used up is given back all the time. */
export const EXHAUSTED_RETRY_MS = 1000;

export interface Exhaustion {
  readonly errno: string;
  readonly why: string;
}

/** Calls that start something: of others EAGAIN says something else. */
const STARTS = /^spawn\b|Worker initialization failure/;
/** Of Node, where a thread starts: it looks what its program is, and has no errno for that. */
const UNREADABLE = /^Cannot read package config .*: (.+?)\.?$/s;
const BY_WORDS: Readonly<Record<string, string>> = {
  'too many open files': 'EMFILE',
  'file table overflow': 'ENFILE',
  'not enough memory': 'ENOMEM',
};

/**
 * Which errno says that the host, or the daemon's share of it, is used up, and what that means;
 * undefined for all other errors.
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

/** What is said of a process or thread that was refused to a tool. */
export const NO_PROCESSES: Exhaustion = { errno: 'EAGAIN', why: WHY['EAGAIN'] ?? '' };
