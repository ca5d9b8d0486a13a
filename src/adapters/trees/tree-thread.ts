import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { systemError } from '../linux/errno.js';
import type { Handle } from '../../domain/ports/handles.js';
import type { LookFacts, LookJob } from './tree-look.js';
import type { TreeMessage, TreeWork } from './tree-worker.js';

const WORKER = new URL('./tree-worker.js', import.meta.url);

interface Hearing {
  /** What messages call the top. */
  readonly path: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: ((items: bigint) => void) | undefined;
}

/** Looks at a tree in a thread of its own. Fails as `Trees.inspect`. */
export async function lookInThread(job: Omit<LookJob, 'kind'>, hearing: Hearing): Promise<LookFacts> {
  const last = await work({ kind: 'look', ...job }, hearing);
  if (last.kind !== 'looked') throw new HostlerError('BUG', `the look at ${hearing.path} has no end`);
  return last.facts;
}

/** Removes all that is in a folder in which nobody else works, in a thread of its own. */
export async function emptyInThread({ fd }: Handle, hearing: Hearing): Promise<void> {
  await work({ kind: 'empty', fd }, hearing);
}

/** Resolved with the last word of the thread when that has gone. */
async function work(job: TreeWork['job'], { path, signal, onProgress }: Hearing): Promise<TreeMessage> {
  signal?.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const onAbort = () => {
    Atomics.store(stop, 0, 1);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const last = await lastWord({ job, stop }, path, onProgress);
    signal?.throwIfAborted();
    if (last?.kind === 'failed') throw failure(last, path);
    if (last === undefined) throw new HostlerError('BUG', `the work on ${path} ended without a word`);
    return last;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

function lastWord(
  workerData: TreeWork,
  path: string,
  onProgress: Hearing['onProgress'],
): Promise<TreeMessage | undefined> {
  const worker = new Worker(WORKER, { workerData });
  return new Promise((resolve, reject) => {
    let last: TreeMessage | undefined;
    worker.on('message', (message: TreeMessage) => {
      last = message;
      if (message.kind === 'progress') onProgress?.(BigInt(message.items));
    });
    worker.once('error', (cause) => {
      reject(new HostlerError('BUG', `the work on ${path} broke`, { cause }));
    });
    worker.once('exit', () => {
      resolve(last);
    });
  });
}

function failure({ why, names, text }: TreeMessage & { readonly kind: 'failed' }, top: string): HostlerError {
  const path = [top, ...names.map((name) => Buffer.from(name).toString())].join('/');
  const cause = new Error(text);
  if (why === undefined) return new HostlerError('BUG', `the work on ${path} failed`, { cause });
  if ('reason' in why) return new HostlerError(why.reason, `${path} ${why.words}`, { facts: { path }, cause });
  return systemError(Object.assign(cause, { code: why.errno }), path);
}
