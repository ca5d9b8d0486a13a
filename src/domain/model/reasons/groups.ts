/**
 * Groups of reasons that many RPCs share. The comments of proto/ name a group as `Fails as …`, and
 * operation.proto lists all of them.
 */
import type { Reason } from './reasons.js';

/** The text after `Fails as`. */
export type ReasonGroup =
  | 'every call'
  | 'an operation'
  | 'naming a path'
  | 'running a tool'
  | 'using a pool'
  | 'finding an image'
  | 'judging an image'
  | 'reading an image'
  | 'working on an image'
  | 'changing a file'
  | 'losing content'
  | 'making a target'
  | 'fetching';

/** The reasons of a failure: those of its groups, and its own that are in none of them. */
export interface Failures {
  readonly groups: readonly ReasonGroup[];
  readonly own: readonly Reason[];
}

/** The failures of an RPC or a group; `own` must not repeat a reason of the groups. */
export const fails = (groups: readonly ReasonGroup[], own: readonly Reason[]): Failures => ({ groups, own });

/** The table of groups. A group comes after the groups that it contains. */
export const REASON_GROUPS: Readonly<Record<ReasonGroup, Failures>> = {
  'every call': fails(
    [],
    [
      'INVALID_FIELD',
      'NOT_AUTHENTICATED',
      'METHOD_NOT_ALLOWED',
      'TOO_MANY_CALLS',
      'CALLER_AT_LIMIT',
      'HOST_EXHAUSTED',
      'AUDIT_FAILED',
      'STATE_UNAVAILABLE',
      'ROOT_STALLED',
      'ROOT_UNAVAILABLE',
      'POOL_NOT_FOUND',
      'CLUSTER_UNUSABLE',
      'IO_ERROR',
      'TOOL_LIMIT_EXCEEDED',
      'STALLED',
      'ANSWER_TOO_LARGE',
      'WATCHER_TOO_SLOW',
      'CALLER_DEADLINE',
      'SHUTTING_DOWN',
      'BUG',
    ],
  ),
  'an operation': fails(
    [],
    ['INVALID_FIELD', 'TOO_MANY_OPERATIONS', 'REQUEST_ID_REUSED', 'SHUTTING_DOWN', 'CANCELLED', 'AGENT_RESTARTED'],
  ),
  'naming a path': fails([], ['INVALID_FIELD', 'PATH_OUTSIDE_ROOTS', 'ACCESS_DENIED']),
  'running a tool': fails([], ['TOOL_MISSING', 'TOOL_FAILED']),
  'using a pool': fails(['naming a path', 'running a tool'], ['POOL_NOT_FOUND']),
  'finding an image': fails(['naming a path'], ['IMAGE_NOT_FOUND', 'NOT_A_FILE']),
  'judging an image': fails([], ['FORMAT_MISMATCH', 'IMAGE_MALFORMED', 'IMAGE_UNSAFE']),
  'reading an image': fails(
    ['finding an image', 'judging an image', 'running a tool'],
    ['SECRET_REQUIRED', 'IMAGE_NEEDS_REPAIR', 'TOO_MANY_OPERATIONS'],
  ),
  'working on an image': fails([], ['PATH_BUSY', 'IMAGE_IN_USE']),
  'changing a file': fails(['naming a path'], ['ROOT_READ_ONLY', 'PATH_BUSY']),
  'losing content': fails(
    ['changing a file', 'working on an image'],
    ['NOT_A_FILE', 'IMAGE_HAS_DEPENDANTS', 'DEPENDANTS_UNKNOWN'],
  ),
  'making a target': fails(['losing content'], ['TARGET_EXISTS', 'PARENT_NOT_FOUND', 'NO_SPACE']),
  fetching: fails(
    ['running a tool'],
    [
      'SOURCE_UNAVAILABLE',
      'STALLED',
      'SOURCE_NOT_FOUND',
      'SOURCE_REFUSED',
      'SOURCE_WITHOUT_LENGTH',
      'SOURCE_FORBIDDEN',
      'SOURCE_CHANGED',
      'CHECKSUM_MISMATCH',
      'IMAGE_TOO_LARGE',
      'SANDBOX_UNAVAILABLE',
      'NO_SPACE',
    ],
  ),
};

/** Every reason, each once: first those of the groups, in the order of the table. */
export function expanded({ groups, own }: Failures): Reason[] {
  return [...new Set([...groups.flatMap((group) => expanded(REASON_GROUPS[group])), ...own])];
}
