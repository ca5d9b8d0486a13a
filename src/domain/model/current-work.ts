import { AsyncLocalStorage } from 'node:async_hooks';
import type { TraceSpan } from './span.js';

/** The ids of the work that the running code belongs to; they join the lines of the log. */
export interface Work {
  readonly operationId?: string;
  readonly requestId?: string | undefined;
  /** The innermost span; set if the work belongs to a trace. */
  readonly span?: TraceSpan;
}

const current = new AsyncLocalStorage<Work>();

/** The current work; empty: the daemon's own work. */
export function currentWork(): Work {
  return current.getStore() ?? {};
}

/**
 * Runs `act`, and everything that it starts, as this work; fields that `work` lacks are inherited.
 */
export function workFor<T>(work: Work, act: () => T): T {
  return current.run({ ...currentWork(), ...work }, act);
}

/**
 * Runs `act`, and everything that it starts, as work within the span, if that belongs to a trace.
 */
export function withinSpan<T>(span: TraceSpan, act: () => T): T {
  return span.context === undefined ? act() : workFor({ span }, act);
}

/**
 * The work of an operation. Without a request id of its own it has none, even if its caller's call
 * has one.
 */
export function workOf({ id, requestId }: { readonly id: string; readonly requestId?: string }): Work {
  return { operationId: id, requestId };
}
