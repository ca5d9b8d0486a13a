/**
 * In a thread of its own: another caller, who works all the time and measures how long it waits.
 */
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Stranger } from '../support/stranger.js';

/** What the thread is given. */
export interface SecondCallerData {
  /** Where it calls. */
  readonly address: string;
  /** A root of its own. */
  readonly folder: string;
}

/** What it answers to each message, since the one before. */
export interface Measured {
  /** Milliseconds of each call that reads, and of each that changes something. */
  readonly reads: readonly number[];
  readonly changes: readonly number[];
  readonly failures: readonly string[];
}

const PAUSE_MS = 5;
/** Of so many calls one changes something. */
const ONE_CHANGE_IN = 40;

const { address, folder } = workerData as SecondCallerData;
const stranger = new Stranger(address);
let measured = { reads: [] as number[], changes: [] as number[], failures: [] as string[] };
const over = new AbortController();

parentPort?.on('message', (message: 'report' | 'end') => {
  parentPort?.postMessage(measured satisfies Measured);
  measured = { reads: [], changes: [], failures: [] };
  if (message === 'end') over.abort();
});

const timed = async (times: () => number[], call: Promise<unknown>) => {
  const started = performance.now();
  await call.catch((error: unknown) => measured.failures.push(String(error)));
  times().push(performance.now() - started);
};

await mkdir(folder, { recursive: true });
const path = `${folder}/image.qcow2`;
const create = () =>
  stranger.operation('ImageService/CreateImage', { path, format: 'qcow2', size: '1M', overwrite: true });
await create();
for (let n = 0; !over.signal.aborted; n++) {
  await timed(() => measured.reads, stranger.unary('ImageService/GetImageInfo', { path, format: 'qcow2' }));
  if (n % ONE_CHANGE_IN === 0) await timed(() => measured.changes, create());
  await sleep(PAUSE_MS);
}
stranger.close();
parentPort?.close();
