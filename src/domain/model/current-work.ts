import { AsyncLocalStorage } from 'node:async_hooks';

/** For whom the code that runs now works: what joins the lines of the log. */
export interface Work {
  readonly operationId?: string;
  readonly requestId?: string | undefined;
  /** Of the caller's trace, which operations inherit from their calls. */
  readonly traceId?: string;
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

/** The work of an operation; without a request id it has none, also where its caller's call has. */
export function workOf({ id, requestId }: { readonly id: string; readonly requestId?: string }): Work {
  return { operationId: id, requestId };
}
