import { setTimeout as sleep } from 'node:timers/promises';

/** Short: many tests wait, each several times. */
const STEP_MS = 10;

/** Waits until it is so. Fails when it never is. */
export async function until(condition: () => Promise<boolean>, ms = 60_000): Promise<void> {
  for (const started = Date.now(); !(await condition());) {
    if (Date.now() - started > ms) throw new Error('it never came');
    await sleep(STEP_MS);
  }
}
