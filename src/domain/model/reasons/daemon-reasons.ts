/** Reasons about the daemon itself and its own files. */
import { row, type ReasonRow } from './reason-row.js';

export const DAEMON_REASONS = {
  CURSOR_TOO_OLD: row(
    'FAILED_PRECONDITION',
    'no',
    'The history of operations no longer goes back to the cursor, or it was lost.',
    'List the operations, then watch from the cursor of that list.',
  ),
  AGENT_RESTARTED: row(
    'ABORTED',
    'later',
    'The daemon ended while the operation ran; nothing of it is left, except the data that a resumable operation has moved.',
    'Start it again.',
  ),
  STATE_UNAVAILABLE: row(
    'UNAVAILABLE',
    'later',
    "The disk of the daemon's state folder is full, fails or hangs. Changes are refused until it can be written again; reads work.",
    'Look at that disk. The daemon recovers by itself; then make the same call again.',
  ),
  SHUTTING_DOWN: row('UNAVAILABLE', 'later', 'The daemon is stopping.', 'Try again after its restart.'),
  AUDIT_FAILED: row('UNAVAILABLE', 'later', 'The audit log cannot be written.', 'Look at the disk that holds it.'),
} as const satisfies Record<string, ReasonRow>;
