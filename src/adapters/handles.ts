import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { FileRef, Handle } from '../domain/ports.js';
import { POOLED, type FileCalls } from './file-calls.js';
import type { RootGate } from './root-gate.js';

/** A descriptor that names an inode without opening its content. */
export const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** Opens a folder, never through a link. */
const FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW;
/** Opens whatever the name is, a link as itself. */
const LEAF = O_PATH | O_NOFOLLOW;

/** The path by which this process reaches what a reference names, whatever has happened to its own path. */
export function procPath({ handle, name }: FileRef): string {
  return `/proc/self/fd/${String(handle.fd)}${name === undefined ? '' : `/${name}`}`;
}

/** An open descriptor in a root; it knows by which calls its filesystem may be asked. */
export class RootedHandle implements Handle {
  private constructor(
    readonly fd: number,
    readonly gate: RootGate,
  ) {}

  /** Opens a folder below a folder, never through a link. */
  static async folder(parent: Handle, name: string, gate: RootGate): Promise<RootedHandle> {
    return new RootedHandle(await gate.calls.open(procPath({ handle: parent, name }), FOLDER), gate);
  }

  /** Opens whatever the name is, a link as itself. */
  static async leaf(parent: Handle, name: string, gate: RootGate): Promise<RootedHandle> {
    return new RootedHandle(await gate.calls.open(procPath({ handle: parent, name }), LEAF), gate);
  }

  async close(): Promise<void> {
    await this.gate.calls.close(this.fd);
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

/** By which calls what a handle names may be asked. */
export function callsOf(handle: Handle): FileCalls {
  return handle instanceof RootedHandle ? handle.gate.calls : POOLED;
}

/**
 * A call into the filesystem of a handle. Fails with ROOT_STALLED when that does not answer, where a root says how long that may take;
 * what comes after that is given to `dispose`.
 */
export function inTime<T>(
  handle: Handle,
  work: () => Promise<T>,
  dispose: (late: T) => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enter(work, dispose) : work();
}

/** The same for what must happen at last: waits until the filesystem answers, for as long as that takes. */
export function atLast<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
  return handle instanceof RootedHandle ? handle.gate.enterAtLast(work) : work();
}

/** Opens a folder below a folder, never through a link. */
export function openFolder(parent: Handle, name: string): Promise<FileHandle> {
  return open(procPath({ handle: parent, name }), FOLDER);
}
