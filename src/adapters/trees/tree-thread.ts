import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { asked } from '../gates/handles.js';
import type { Handle } from '../../domain/ports/handles.js';
import { fileError } from './file-error.js';
import type { LookFacts, LookJob } from './tree-look.js';
import type { TreeAnswer, TreeJob, TreeQuestion } from './tree-worker.js';

const WORKER = new URL('./tree-worker.js', import.meta.url);

interface Hearing {
  /** Name of the top in messages. */
  readonly path: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: ((items: bigint) => void) | undefined;
}

/**
 * Examines a tree below an open folder, in a worker thread. Fails as `Trees.inspect`, and with
 * ROOT_STALLED if the filesystem stops answering.
 */
export async function lookInThread(
  folder: Handle,
  job: Omit<LookJob, 'kind' | 'fd'>,
  hearing: Hearing,
): Promise<LookFacts> {
  const last = await work({ kind: 'look', fd: folder.fd, ...job }, hearing, (step) => asked(folder, step));
  if (last.kind !== 'looked') throw new HostlerError('BUG', `the look at ${hearing.path} has no end`);
  return last.facts;
}

/**
 * Removes everything in a folder in which no other process works, in a worker thread. Waits for a
 * filesystem that does not answer.
 */
export async function emptyInThread({ fd }: Handle, hearing: Hearing): Promise<void> {
  await work({ kind: 'empty', fd }, hearing, (step) => step());
}

type Step = () => Promise<TreeAnswer>;

/** Returns the last answer. @param call runs a step as a call into the filesystem */
async function work(
  job: TreeJob,
  { path, signal, onProgress }: Hearing,
  call: (step: Step) => Promise<TreeAnswer>,
): Promise<TreeAnswer> {
  signal?.throwIfAborted();
  const thread = new TreeThread(job, path);
  try {
    for (;;) {
      const answer = await call(() => thread.step());
      signal?.throwIfAborted();
      if (answer.kind === 'failed') throw failure(answer, path);
      if (answer.kind !== 'resumes') return answer;
      onProgress?.(BigInt(answer.items));
    }
  } finally {
    thread.end();
  }
}

/** The thread handles one question at a time. */
class TreeThread {
  readonly #worker: Worker;
  #answered: { readonly resolve: (answer: TreeAnswer) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(
    job: TreeJob,
    private readonly path: string,
  ) {
    this.#worker = new Worker(WORKER, { workerData: job });
    this.#worker.on('message', (answer: TreeAnswer) => this.#answered?.resolve(answer));
    this.#worker.once('error', (cause) =>
      this.#answered?.reject(new HostlerError('BUG', `the work on ${this.path} broke`, { cause })),
    );
  }

  step(): Promise<TreeAnswer> {
    return new Promise((resolve, reject) => {
      this.#answered = { resolve, reject };
      this.#worker.postMessage('step' satisfies TreeQuestion);
    });
  }

  /** The thread ends when its filesystem answers; this does not wait for it. */
  end(): void {
    this.#worker.unref();
    this.#worker.postMessage('end' satisfies TreeQuestion);
  }
}

function failure({ why, names, text }: TreeAnswer & { readonly kind: 'failed' }, top: string): HostlerError {
  const path = [top, ...names.map((name) => Buffer.from(name).toString())].join('/');
  const cause = new Error(text);
  if (why === undefined) return new HostlerError('BUG', `the work on ${path} failed`, { cause });
  if ('reason' in why) return new HostlerError(why.reason, `${path} ${why.words}`, { facts: { path }, cause });
  return fileError(Object.assign(cause, { code: why.errno }), path);
}
