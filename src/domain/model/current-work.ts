import { AsyncLocalStorage } from 'node:async_hooks';
import type { TraceSpan } from './span.js';

/** For whom the code that runs now works: what joins the lines of the log. */
export interface Work {
  readonly operationId?: string;
  readonly requestId?: string | undefined;
  /** The innermost one; set where the work belongs to a trace. */
  readonly span?: TraceSpan;
}

const current = new AsyncLocalStorage<Work>();

/** What is worked for now; empty: the daemon's own work. */
export function currentWork(): Work {
  return current.getStore() ?? {};
}

/** Runs `act`, and all that it starts, as work for these; what `work` lacks stays as it was. */
export function workFor<T>(work: Work, act: () => T): T {
  return current.run({ ...currentWork(), ...work }, act);
}

/** Runs `act`, and all that it starts, as work within the span, where that belongs to a trace. */
export function withinSpan<T>(span: TraceSpan, act: () => T): T {
  return span.context === undefined ? act() : workFor({ span }, act);
}

/** The work of an operation; without a request id it has none, also where its caller's call has. */
export function workOf({ id, requestId }: { readonly id: string; readonly requestId?: string }): Work {
  return { operationId: id, requestId };
}
