/**
 * Loaded into daemons under test before their own code (`--import`): writes down each turn of the main thread that took longer than it may.
 * What counts is the processor time of that thread, so that a machine with much else to do fails no test.
 */
import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** Between two looks. */
const LOOK_MS = 10;
const file = process.env['HOSTLER_WATCHDOG'];
const most = Number(process.env['HOSTLER_WATCHDOG_MS']);

const cpuMs = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

if (isMainThread && file !== undefined) {
  let [cpu, beganMs] = [cpuMs(), Date.now()];
  setInterval(() => {
    const [now, nowMs] = [cpuMs(), Date.now()];
    // Timers that are due end a turn: what came between two looks was one turn, and what is shorter than a look.
    const heldMs = now - cpu - LOOK_MS;
    if (heldMs > most)
      appendFileSync(file, `${JSON.stringify({ pid: process.pid, beganMs, heldMs, wallMs: nowMs - beganMs })}\n`);
    [cpu, beganMs] = [now, nowMs];
  }, LOOK_MS).unref();
}
