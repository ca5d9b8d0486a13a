import { setTimeout as sleep } from 'node:timers/promises';

/** Short: many tests wait, each several times. */
const STEP_MS = 10;

/** Waits until it is so. Fails when it is not within `ms`. */
export async function until(condition: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  for (const started = Date.now(); !(await condition());) {
    if (Date.now() - started > ms) throw new Error(`not within ${String(ms)} ms: ${String(condition)}`);
    await sleep(STEP_MS);
  }
}
