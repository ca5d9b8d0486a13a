import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { deferred, orAborted } from '../../domain/model/async.js';
import type { PatternsAnswer } from './patterns-worker.js';

/** Limit for all arguments of a call. */
const PATIENCE_MS = 3000;
const MOST_MIB = 256;
const WORKER = new URL('./patterns-worker.js', import.meta.url);

export interface PatternsJob {
  readonly patterns: readonly string[];
  readonly args: readonly string[];
}

/**
 * The index of the first argument that no pattern matches. Fails with TOOL_LIMIT_EXCEEDED, and with
 * the signal's reason.
 */
export async function matchInThread(job: PatternsJob, signal: AbortSignal): Promise<number | undefined> {
  const worker = new Worker(WORKER, { workerData: job, resourceLimits: { maxOldGenerationSizeMb: MOST_MIB } });
  const answer = deferred<PatternsAnswer | HostlerError>();
  worker.once('message', (message: PatternsAnswer) => answer.resolve(message));
  worker.once('error', (error: unknown) => answer.resolve(tooMuch('memory', error)));
  const timer = setTimeout(() => answer.resolve(tooMuch('time')), PATIENCE_MS);
  try {
    const found = await orAborted(answer.promise, signal);
    if (found instanceof HostlerError) throw found;
    return found.misfit;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function tooMuch(limit: 'memory' | 'time', cause?: unknown): HostlerError {
  const text = `matching the arguments of the command takes too much ${limit}`;
  return new HostlerError('TOOL_LIMIT_EXCEEDED', text, { facts: { limit }, ...(cause === undefined ? {} : { cause }) });
}
