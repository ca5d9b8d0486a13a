import { row, type ReasonRow } from './reason-row.js';

/** Part of the table of reasons: failures of tools. */
export const TOOL_REASONS = {
  TOOL_LIMIT_EXCEEDED: row(
    'FAILED_PRECONDITION',
    'after a change',
    'A tool was ended by one of its limits, which the metadata names.',
    'Raise the limit if you trust the image.',
  ),
  STALLED: row(
    'DEADLINE_EXCEEDED',
    'later',
    'Nothing moved for the stall time.',
    'Look at the storage, then try again.',
  ),
  TOOL_FAILED: row(
    'INTERNAL',
    'later',
    'A tool failed; its last output is in the metadata.',
    "Look at the daemon's log.",
  ),
  IMAGE_NEEDS_REPAIR: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The image was not closed, or its tables were found to contradict each other: tools do not open it so.',
    'Repair it with CheckImage, as far as its format can be repaired; the message has the output of the tool.',
  ),
  TOOL_MISSING: row(
    'FAILED_PRECONDITION',
    'after a change',
    'A tool is not installed; the metadata names it.',
    'Install it on the host.',
  ),
  SANDBOX_UNAVAILABLE: row(
    'FAILED_PRECONDITION',
    'after a change',
    'The configuration demands a sandbox, and there is none: untrusted images are refused.',
    'Install bubblewrap, or change `sandbox.mode`.',
  ),
} as const satisfies Record<string, ReasonRow>;
