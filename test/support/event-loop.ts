import { setImmediate as turn } from 'node:timers/promises';

/** More turns of the event loop than any chain of promises that waits for nothing else needs. */
const TURNS = 20;

/** Lets everything go on that can. */
export async function turns(): Promise<void> {
  for (let n = 0; n < TURNS; n++) await turn();
}

/** What the promise has come to when everything has gone on that can. */
export async function stateOf(promise: Promise<unknown>): Promise<'waits' | 'done' | 'failed'> {
  let state: 'waits' | 'done' | 'failed' = 'waits';
  promise.then(
    () => (state = 'done'),
    () => (state = 'failed'),
  );
  await turns();
  return state;
}
