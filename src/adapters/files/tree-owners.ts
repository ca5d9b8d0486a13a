import { chown } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import { changedOwner, type OwnerChange, type OwnerIds } from '../../domain/model/owner-change.js';
import type { OwnerNames, Ownership, Walk, WalkCounts } from '../../domain/ports/files.js';
import { systemError } from '../linux/errno.js';
import type { WalkJob, WalkState } from './owner-walk.js';
import type { WorkerMessage } from './owner-walk-worker.js';
import type { Owners } from './owners.js';
import { hasXattrs } from '../rights/shifted.js';
import type { OwnFolder } from '../paths/path-walk.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

const WORKER = new URL('./owner-walk-worker.js', import.meta.url);

/**
 * Changes owners of files and trees. Each tree is walked by its own thread: a walk that hangs
 * delays no other call.
 */
export class TreeOwners implements Ownership {
  /** @param ownFolders the daemon's state and cache folders, which no walk enters */
  constructor(
    private readonly owners: Owners,
    private readonly ownFolders: readonly OwnFolder[],
  ) {}

  async ids({ user, group }: OwnerNames, tool: ToolRun): Promise<OwnerIds> {
    return {
      ...(user === undefined ? {} : { uid: await this.owners.id('owner', user, tool, 'owner') }),
      ...(group === undefined ? {} : { gid: await this.owners.id('group', group, tool, 'owner') }),
    };
  }

  async set(entry: Entry, ids: OwnerIds): Promise<boolean> {
    const { uid, gid } = changedOwner(entry, { kind: 'set', ...ids });
    if (uid === entry.uid && gid === entry.gid) return false;
    try {
      await entry.inTime(() => chown(procPath(entry), uid, gid));
      return true;
    } catch (error) {
      throw systemError(error, entry.address);
    }
  }

  async walk(entry: Entry, change: OwnerChange, walk: Walk): Promise<WalkCounts> {
    const { signal, dryRun } = walk;
    signal.throwIfAborted();
    const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const job: WalkJob = { fd: entry.handle.fd, change, dryRun, closed: this.#closed(), stop };
    const onAbort = () => {
      Atomics.store(stop, 0, 1);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const {
        seen,
        changed,
        lost = false,
      } = await runWorker(job, entry, (done, total) => {
        walk.onProgress?.(BigInt(done), total === undefined ? undefined : BigInt(total));
      });
      signal.throwIfAborted();
      const rights = change.kind === 'shift' && !hasXattrs() ? { rights: 'unread' as const } : {};
      return { seenItems: BigInt(seen), changedItems: BigInt(changed), lost, ...rights };
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #closed(): string[] {
    return this.ownFolders.map(({ identity: { device, inode } }) => `${String(device)}:${String(inode)}`);
  }
}

/** Resolves when the thread has ended. */
function runWorker(
  job: WalkJob,
  { address }: Entry,
  onProgress: (done: number, total: number | undefined) => void,
): Promise<WalkState> {
  const worker = new Worker(WORKER, { workerData: job });
  return new Promise((resolve, reject) => {
    let last: WorkerMessage | undefined;
    worker.on('message', (message: WorkerMessage) => {
      last = message;
      if (message.kind !== 'failed') onProgress(message.state.seen, message.state.total);
    });
    worker.once('error', (error) => {
      reject(new HostlerError('BUG', `the walk through ${address} broke`, { cause: error }));
    });
    worker.once('exit', () => {
      if (last?.kind === 'done') resolve(last.state);
      else reject(failure(last, address));
    });
  });
}

function failure(last: WorkerMessage | undefined, address: string): HostlerError {
  const { code, below, text } = last?.kind === 'failed' ? last : { code: undefined, below: '', text: 'no answer' };
  const cause = new Error(text);
  return systemError(
    code === undefined ? cause : Object.assign(cause, { code }),
    below === '' ? address : `${address}/${below}`,
    { ENAMETOOLONG: 'UNSUPPORTED_BY_BACKEND' },
  );
}
