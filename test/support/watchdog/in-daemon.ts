/**
 * Loaded into daemons under test before their own code (`--import`): writes down each turn of the
 * main thread that took longer than it may. What counts is the processor time of that thread, in
 * the time of a known machine: neither one with much else to do nor a slow one fails a test.
 */
import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { slowness, threadMs } from './known-work.js';

/** Between two looks. */
const LOOK_MS = 10;
const file = process.env['HOSTLER_WATCHDOG'];
const most = Number(process.env['HOSTLER_WATCHDOG_MS']);

if (isMainThread && file !== undefined) {
  let [cpu, beganMs] = [threadMs(), Date.now()];
  setInterval(() => {
    const [now, nowMs] = [threadMs(), Date.now()];
    // Timers that are due end a turn: what came between two looks was one turn, and what is shorter
    // than a look.
    const heldMs = now - cpu - LOOK_MS;
    if (heldMs > most) {
      // As slow as in the turn, for what is beside it is the same.
      const times = slowness();
      const turn = { pid: process.pid, beganMs, heldMs: heldMs / times, times, wallMs: nowMs - beganMs };
      if (turn.heldMs > most) appendFileSync(file, `${JSON.stringify(turn)}\n`);
    }
    [cpu, beganMs] = [threadMs(), Date.now()];
  }, LOOK_MS).unref();
}
