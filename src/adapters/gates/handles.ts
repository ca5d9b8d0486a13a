import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { THREADPOOL, type FileCalls } from './file-calls.js';
import { PIECE, type RootGate } from './root-gate.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** Opens a folder, never through a link. */
const FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW;
/** Opens whatever the name is, a link as itself. */
const LEAF = O_PATH | O_NOFOLLOW;

/** An open descriptor in a root; it knows by which calls its filesystem may be asked. */
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

  /** One that stays open: who gets it closes nothing. */
  static lent(fd: number, gate: RootGate): Handle {
    const handle = new RootedHandle(fd, gate);
    handle.#lent = true;
    return handle;
  }

  /** Opens whatever the name is, a link as itself. */
  static async leaf(parent: Handle, name: string, gate: RootGate): Promise<RootedHandle> {
    return new RootedHandle(await gate.calls.open(procPath({ handle: parent, name }), LEAF), gate);
  }

  async close(): Promise<void> {
    if (!this.#lent) await this.gate.calls.close(this.fd);
  }
}

/** What a handle names that was just opened; when that cannot be known it is closed again. */
export async function statOrClose(handle: RootedHandle): Promise<BigIntStats> {
  try {
    return await handle.gate.calls.stat(handle.fd);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * By which calls what a handle names may be asked; in a root that may not answer each fails with
 * ROOT_STALLED then.
 */
export function callsOf(handle: Handle): FileCalls {
  return handle instanceof RootedHandle ? handle.gate.guardedCalls : THREADPOOL;
}

/**
 * A call into the filesystem of a handle. Fails with ROOT_STALLED when that does not answer, where
 * a root says how long that may take; what comes after that is given to `dispose`.
 */
export function inTime<T>(
  handle: Handle,
  work: () => Promise<T>,
  dispose: (late: T) => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enter(work, dispose) : work();
}

/** The same by a handle that is open: where the root's path leads now is not asked. */
export function asked<T>(handle: Handle, work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.call(work, dispose) : work();
}

/** The same for what makes data durable or frees space, which may honestly take long. */
export function slowly<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.slowCall(work) : work();
}

/**
 * The same for what moves a piece of data into or out of a file that is being made, and for opening
 * that.
 */
export function moving<T>(handle: Handle, work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T> {
  if (!(handle instanceof RootedHandle)) return work();
  return handle.gate.slowCall(work, { times: PIECE, ...(dispose === undefined ? {} : { dispose }) });
}

/**
 * The same for what changes a name: when it has begun it is waited for as long as it takes, because
 * its outcome must be known.
 */
export function toItsEnd<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.callToItsEnd(work) : work();
}

/**
 * The same for what must happen at last: waits until the filesystem answers, for as long as that
 * takes.
 */
export function atLast<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enterAtLast(work) : work();
}

/** The same folder as `openFolder` opens, in the root of its parent if that lies in one. */
export async function openFolderIn(parent: Handle, name: string): Promise<Handle> {
  return parent instanceof RootedHandle ? RootedHandle.folder(parent, name, parent.gate) : openFolder(parent, name);
}

/** Opens a folder below a folder, never through a link. */
export function openFolder(parent: Handle, name: string): Promise<FileHandle> {
  return open(procPath({ handle: parent, name }), FOLDER);
}
