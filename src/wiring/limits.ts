/** Converts the limits of the configuration to the units of the domain and the adapters. */
import type { Config } from '../adapters/config/config.js';
import { tighter, type ToolLimits } from '../adapters/process/tool-call.js';
import { Slots, type SlotWatch } from '../domain/operations/resources/slots.js';

/** Enough for a host whose neighbours all pull at once. */
const RUNNING_EXPORTS = 64;

/** Operations that wait for others use memory and a lock, and hardly anything else. */
const OPEN_OPERATIONS = 64;

/** The same for uploads, which may stay open for `uploads.expire_hours`. */
const OPEN_UPLOADS = 64;

/** Limit of running plans. Most read an image with a tool, which uses a processor. */
const PLANS = 8;

/** How many operations of each kind may run or wait. */
export function slotsOf(limits: Config['limits'], watch: SlotWatch): Slots {
  const most = {
    running: {
      io: limits.running_operations,
      none: limits.running_short_operations,
      export: RUNNING_EXPORTS,
      open: OPEN_OPERATIONS,
      upload: OPEN_UPLOADS,
      plan: PLANS,
    },
    perFilesystem: limits.running_operations_per_filesystem,
    callersPart: limits.callers_part,
    queued: limits.queued_operations,
    queuedPerCaller: limits.queued_operations_per_caller ?? Math.ceil(limits.queued_operations * limits.callers_part),
  };
  return new Slots(most, watch);
}

/** A tool that is ended, and any filesystem that answers, return within this time. */
export function letGoMs({ root_patience_ms: patienceMs, tool_kill_grace_ms: graceMs }: Config['limits']): number {
  return patienceMs + 2 * graceMs;
}

/** Limits of tools that open untrusted images: the lower of both. */
export function foreignLimits({ tools, foreign }: Config['limits']): ToolLimits {
  return tighter(toolLimits(tools), toolLimits(foreign));
}

/** Limits of tools: seconds as milliseconds; unset ones stay unset. */
export function toolLimits({
  cpu_seconds,
  address_space_bytes,
  wall_seconds,
  stall_seconds,
}: Partial<Config['limits']['tools']>): ToolLimits {
  return {
    ...(cpu_seconds === undefined ? {} : { cpuSeconds: cpu_seconds }),
    ...(address_space_bytes === undefined ? {} : { addressSpaceBytes: BigInt(address_space_bytes) }),
    ...(wall_seconds === undefined ? {} : { wallMs: wall_seconds * 1000 }),
    ...(stall_seconds === undefined ? {} : { stallMs: stall_seconds * 1000 }),
  };
}
