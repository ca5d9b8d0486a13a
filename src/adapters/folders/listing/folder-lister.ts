import { readlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { breathe } from '../../../domain/model/async.js';
import { HostlerError } from '../../../domain/model/errors.js';
import type { Entry } from '../../../domain/ports/handles.js';
import type { ListedEntry, Trees } from '../../../domain/ports/trees.js';
import { asked, RootedHandle } from '../../gates/handles.js';
import type { RootGate } from '../../gates/root-gate.js';
import { systemError } from '../../linux/errno.js';
import { procPath } from '../../linux/proc-path.js';
import { PRIVATE_PREFIX } from '../../paths/private-folders.js';
import { FIELDS, KINDS, type ListAnswer, type PageColumns } from './list-protocol.js';
import { ListThread } from './list-thread.js';
import type { PageJob } from './page-reader.js';

/** Entries that are decoded in one turn of the event loop. */
const ENTRIES_AT_ONCE = 200;

/**
 * Lists folders in one thread for each root. Reading and sorting a folder of a million names takes
 * seconds, and a root that hangs delays no other root.
 */
export class FolderLister {
  readonly #threads = new Map<RootGate | undefined, ListThread>();

  /** @param closed real paths of folders that are left out */
  constructor(private readonly closed: readonly string[]) {}

  /** As `Trees.list`. */
  async list(
    folder: Entry,
    { after, size }: Parameters<Trees['list']>[1],
    signal: AbortSignal,
  ): ReturnType<Trees['list']> {
    try {
      const job: PageJob = {
        fd: folder.handle.fd,
        device: folder.device,
        inode: folder.inode,
        after: after === undefined ? undefined : Buffer.from(after).toString('latin1'),
        size,
        hidden: await this.#closedIn(folder),
        hiddenPrefix: PRIVATE_PREFIX,
      };
      const page = await this.#read(folder, job, signal);
      const { more, last } = page;
      return { entries: await entriesOf(page, signal), more, ...(last === undefined ? {} : { last: bytesOf(last) }) };
    } catch (error) {
      throw systemError(error, folder.address, { ENOENT: 'FILE_NOT_FOUND' });
    }
  }

  /** Each step is a call into the root. A step that hangs fails with ROOT_STALLED. */
  async #read(folder: Entry, job: PageJob, signal: AbortSignal): Promise<PageColumns> {
    const thread = this.#threadOf(folder);
    const id = thread.newId();
    try {
      let answer: ListAnswer = await asked(folder.handle, () => thread.ask({ id, kind: 'begin', job }));
      while (answer.kind === 'resumes') {
        signal.throwIfAborted();
        answer = await asked(folder.handle, () => thread.ask({ id, kind: 'step' }));
      }
      signal.throwIfAborted();
      if (answer.kind === 'page') return answer;
      const { errno, text } = answer;
      const cause = new Error(text);
      throw errno === undefined
        ? new HostlerError('BUG', `the list of ${folder.address} failed`, { cause })
        : Object.assign(cause, { code: errno });
    } finally {
      thread.end(id);
    }
  }

  #threadOf({ handle }: Entry): ListThread {
    const gate = handle instanceof RootedHandle ? handle.gate : undefined;
    const thread = this.#threads.get(gate) ?? new ListThread();
    this.#threads.set(gate, thread);
    return thread;
  }

  async #closedIn(folder: Entry): Promise<readonly string[]> {
    const path = await asked(folder.handle, () => readlink(procPath(folder)));
    return this.closed.filter((each) => dirname(each) === path).map((each) => characters(basename(each)));
  }
}

async function entriesOf({ names, numbers }: PageColumns, signal: AbortSignal): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for (const name of names === '' ? [] : names.split('/')) {
    if (entries.length % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1) {
      await breathe();
      signal.throwIfAborted();
    }
    entries.push(entryOf(name, numbers.slice(entries.length * FIELDS.length, (entries.length + 1) * FIELDS.length)));
  }
  return entries;
}

function entryOf(name: string, numbers: readonly bigint[]): ListedEntry {
  const [kind = 0n, lengthBytes = 0n, allocatedBytes = 0n, mode = 0n, uid = 0n, gid = 0n, modifyTimeNs = 0n] = numbers;
  return {
    name: bytesOf(name),
    kind: KINDS[Number(kind)] ?? 'other',
    lengthBytes,
    allocatedBytes,
    mode: Number(mode),
    uid: Number(uid),
    gid: Number(gid),
    modifyTimeNs,
  };
}

/** Text with one character for each byte, as the thread encodes names. */
function characters(name: string): string {
  return Buffer.from(name).toString('latin1');
}

function bytesOf(name: string): Buffer {
  return Buffer.from(name, 'latin1');
}
