import { chown } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import { changedOwner, type OwnerChange, type OwnerIds } from '../../domain/model/owner-change.js';
import type { OwnerNames, Ownership, Walk, WalkCounts } from '../../domain/ports/files.js';
import { systemError } from '../linux/errno.js';
import type { WalkJob, WalkState } from './owner-walk.js';
import type { WorkerMessage } from './owner-walk-worker.js';
import type { Owners } from './owners.js';
import { hasXattrs } from '../rights/shifted.js';
import type { OwnFolder } from '../paths/path-walk.js';
import { KeptThreads } from '../linux/kept-threads.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

type FailedWalk = Extract<WorkerMessage, { readonly kind: 'failed' }>;

const threads = new KeptThreads<WalkJob, WorkerMessage>(
  new URL('./owner-walk-worker.js', import.meta.url),
  ({ kind }) => kind !== 'state',
);

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
      } = await walkInThread(job, entry, (done, total) => {
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

async function walkInThread(
  job: WalkJob,
  { address }: Entry,
  onProgress: (done: number, total: number | undefined) => void,
): Promise<WalkState> {
  const last = await threads
    .run(job, (message) => {
      if (message.kind !== 'failed') onProgress(message.state.seen, message.state.total);
    })
    .catch((error: unknown) => {
      throw new HostlerError('BUG', `the walk through ${address} broke`, { cause: error });
    });
  if (last.kind === 'failed') throw failure(last, address);
  onProgress(last.state.seen, last.state.total);
  return last.state;
}

function failure({ code, below, text }: FailedWalk, address: string): HostlerError {
  const cause = new Error(text);
  return systemError(
    code === undefined ? cause : Object.assign(cause, { code }),
    below === '' ? address : `${address}/${below}`,
    { ENAMETOOLONG: 'UNSUPPORTED_BY_BACKEND' },
  );
}
