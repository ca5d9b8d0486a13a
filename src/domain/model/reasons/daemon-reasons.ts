/** Reasons that lie with the daemon itself and its own files. */
import { row, type ReasonRow } from './reason-row.js';

export const DAEMON_REASONS = {
  AGENT_RESTARTED: row(
    'ABORTED',
    'later',
    'The daemon ended under the operation; nothing of it is left, except what a verb that can go on has moved.',
    'Start it again.',
  ),
  STATE_UNAVAILABLE: row(
    'UNAVAILABLE',
    'later',
    "The disk of the daemon's state folder is full, fails or hangs. Nothing is changed until it is written again; reads go on.",
    'Look at that disk. The daemon goes on by itself; then make the same call again.',
  ),
  SHUTTING_DOWN: row('UNAVAILABLE', 'later', 'The daemon is stopping.', 'Try again after its restart.'),
  AUDIT_FAILED: row('UNAVAILABLE', 'later', 'The audit log cannot be written.', 'Look at the disk that holds it.'),
} as const satisfies Record<string, ReasonRow>;
