import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { THREADPOOL, type FileCalls } from './file-calls.js';
import { PIECE, type RootGate } from './root-gate.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** Opens a folder, never through a link. */
const FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW;
/** Opens any entry; a link is opened itself. */
const LEAF = O_PATH | O_NOFOLLOW;

/** An open descriptor in a root; it knows which calls its filesystem may be used with. */
export class RootedHandle implements Handle {
  #lent = false;

  private constructor(
    readonly fd: number,
    readonly gate: RootGate,
  ) {}

  /** Opens a folder below a folder, never through a link. */
  static async folder(parent: Handle, name: string, gate: RootGate): Promise<RootedHandle> {
    return new RootedHandle(await gate.calls.open(procPath({ handle: parent, name }), FOLDER), gate);
  }

  /** A handle that stays open: its user does not close it. */
  static lent(fd: number, gate: RootGate): Handle {
    const handle = new RootedHandle(fd, gate);
    handle.#lent = true;
    return handle;
  }

  /** Opens any entry; a link is opened itself. */
  static async leaf(parent: Handle, name: string, gate: RootGate): Promise<RootedHandle> {
    return new RootedHandle(await gate.calls.open(procPath({ handle: parent, name }), LEAF), gate);
  }

  async close(): Promise<void> {
    if (!this.#lent) await this.gate.calls.close(this.fd);
  }
}

/** The stat of a handle that was just opened. Closes the handle if the stat fails. */
export async function statOrClose(handle: RootedHandle): Promise<BigIntStats> {
  try {
    return await handle.gate.calls.stat(handle.fd);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The system calls for the file of a handle. In a root that may stop answering each call then fails
 * with ROOT_STALLED.
 */
export function callsOf(handle: Handle): FileCalls {
  return handle instanceof RootedHandle ? handle.gate.guardedCalls : THREADPOOL;
}

/** The same for work that has entered the root: its calls have the time limit of that work. */
export function enteredCallsOf(handle: Handle): FileCalls {
  return handle instanceof RootedHandle ? handle.gate.calls : THREADPOOL;
}

/**
 * A call into the filesystem of a handle. If the root has a time limit and the call exceeds it,
 * fails with ROOT_STALLED; a result that arrives later is passed to `dispose`.
 */
export function inTime<T>(
  handle: Handle,
  work: () => Promise<T>,
  dispose: (late: T) => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enter(work, dispose) : work();
}

/** As `inTime`, through an open handle: does not check where the root's path leads now. */
export function asked<T>(handle: Handle, work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.call(work, dispose) : work();
}

/** As `asked`, for calls that make data durable or free space, which may take long. */
export function slowly<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.slowCall(work) : work();
}

/**
 * As `asked`, for calls that read or write data of a file that is being created, and for opening
 * it.
 */
export function moving<T>(handle: Handle, work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T> {
  if (!(handle instanceof RootedHandle)) return work();
  return handle.gate.slowCall(work, { times: PIECE, ...(dispose === undefined ? {} : { dispose }) });
}

/**
 * As `asked`, for calls that change a name. Once begun, such a call is awaited without a limit,
 * because its outcome must be known.
 */
export function toItsEnd<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.callToItsEnd(work) : work();
}

/**
 * As `asked`, for work that must be done eventually: waits without a limit until the filesystem
 * answers.
 */
export function atLast<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enterAtLast(work) : work();
}

/** Opens the same folder as `openFolder`, within the root of its parent if it has one. */
export async function openFolderIn(parent: Handle, name: string): Promise<Handle> {
  return parent instanceof RootedHandle ? RootedHandle.folder(parent, name, parent.gate) : openFolder(parent, name);
}

/** Opens a folder below a folder, never through a link. */
export function openFolder(parent: Handle, name: string): Promise<FileHandle> {
  return open(procPath({ handle: parent, name }), FOLDER);
}
