import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './until.js';

/** Whether a process runs; one that has ended and only waits for its parent does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Fails when the process does not end. */
export async function gone(pid: number): Promise<void> {
  for (let tries = 0; alive(pid); tries++) {
    if (tries > 500) throw new Error(`process ${String(pid)} is still there`);
    await sleep(20);
  }
}

/** So many looks in a row see that nothing has moved. */
const QUIET_LOOKS = 10;

/** Waits until a process reads and writes no more: whoever takes what it sends has stopped. */
export async function quiet(pid: number): Promise<void> {
  let [before, looks] = ['', 0];
  await until(() => {
    const moved = /^rchar.*\nwchar.*$/m.exec(readFileSync(`/proc/${String(pid)}/io`, 'utf8'))?.[0] ?? '';
    looks = moved === before ? looks + 1 : 0;
    before = moved;
    return Promise.resolve(looks >= QUIET_LOOKS);
  });
}

/** A real qemu-nbd holds the image while `work` runs. */
export function whileHeld(
  path: string,
  socket: string,
  work: () => Promise<void>,
  options: readonly string[] = ['-f', 'qcow2'],
): Promise<void> {
  return whileRun(['qemu-nbd', '-k', socket, ...options, '-t', path], () => greets(socket), work);
}

/** qemu-nbd listens before it has opened its image, and greets nobody before. */
function greets(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('data', () => {
      resolve(true);
      connection.destroy();
    });
    connection.once('error', () => {
      resolve(false);
    });
    connection.once('close', () => {
      resolve(false);
    });
  });
}

/** A process runs, and has become ready, while `work` runs. */
export async function whileRun(
  [command = '', ...words]: readonly string[],
  ready: () => boolean | Promise<boolean>,
  work: () => Promise<void>,
): Promise<void> {
  const child = spawn(command, words, { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    while (!(await ready())) {
      if (child.exitCode !== null) throw new Error(`${command} has ended`);
      await sleep(20);
    }
    await work();
  } finally {
    child.kill();
    // qemu-nbd forgets a signal that comes between its socket and its main loop.
    const again = setInterval(() => child.kill(), 100);
    await ended;
    clearInterval(again);
  }
}
