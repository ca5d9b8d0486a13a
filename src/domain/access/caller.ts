import { roleOf, type Role } from './role.js';

/** Who calls, and how long they wait. Goes into every domain call. */
export interface Caller {
  /** Stable name: scope of request ids, owner of operations. */
  readonly identity: string;
  /** Names of the caller's roles. */
  readonly roles: readonly string[];
  /** The role that lets this call through. */
  readonly grant: Role;
  /** The far end of the connection, for logs. */
  readonly peer: string;
  /** Aborted when the caller has gone or its deadline has passed; the reason is a HostlerError. */
  readonly signal: AbortSignal;
  readonly deadline: Date | undefined;
  /** Identity of the caller in whose places its operations are at work; unset: its own. */
  readonly worksFor?: string;
  /** Called for each operation that the call starts, or attaches to. */
  readonly onOperation?: (id: string) => void;
  /** Called for each of many addresses of the call that it was denied; the others are answered. */
  readonly onDenied?: (address: string) => void;
}

/** In whose places its operations wait and are at work. */
export function placesOf({ identity, worksFor = identity }: Caller): string {
  return worksFor;
}

/**
 * An operation that continues after a restart has no caller that waits; its rights were checked
 * when it was requested.
 */
export const NOBODY = {
  roles: [],
  grant: roleOf('nobody', {}),
  peer: '',
  signal: new AbortController().signal,
  deadline: undefined,
};
