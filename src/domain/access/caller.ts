import { roleOf, type Role } from './role.js';

/** The caller of a request, and how long it waits. Passed to every domain call. */
export interface Caller {
  /** Stable name: the scope of request ids and the owner of operations. */
  readonly identity: string;
  /** Names of the caller's roles. */
  readonly roles: readonly string[];
  /** The role that allows this call. */
  readonly grant: Role;
  /** The client's address, for logs. */
  readonly peer: string;
  /**
   * Aborted when the caller has disconnected or its deadline has passed; the reason is a
   * HostlerError.
   */
  readonly signal: AbortSignal;
  readonly deadline: Date | undefined;
  /** Identity of the caller whose slots its operations use; unset: its own. */
  readonly worksFor?: string;
  /** Called for each operation that the call starts or attaches to. */
  readonly onOperation?: (id: string) => void;
  /** Called for each denied address of a call with many addresses; the others are answered. */
  readonly onDenied?: (address: string) => void;
}

/** The identity whose slots the caller's operations use. */
export function placesOf({ identity, worksFor = identity }: Caller): string {
  return worksFor;
}

/**
 * The caller of an operation that resumes after a restart: no client waits, and its rights were
 * checked when it was requested.
 */
export const NOBODY = {
  roles: [],
  grant: roleOf('nobody', {}),
  peer: '',
  signal: new AbortController().signal,
  deadline: undefined,
};
