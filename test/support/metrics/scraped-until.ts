import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '../daemon.js';
import { Exposition } from './exposition.js';

/** A scrape costs more than most conditions that tests wait for. */
const [STEP_MS, MOST_MS] = [250, 50_000];

/** Scrapes until it is so, and returns what was exported then. Fails when it is not in time. */
export async function scrapedUntil(
  daemon: Pick<Daemon, 'metrics'>,
  condition: (exposition: Exposition) => boolean,
): Promise<Exposition> {
  for (const started = Date.now(); ;) {
    const exposition = new Exposition(await daemon.metrics());
    if (condition(exposition)) return exposition;
    if (Date.now() - started > MOST_MS) throw new Error(`not exported in time: ${String(condition)}`);
    await sleep(STEP_MS);
  }
}
