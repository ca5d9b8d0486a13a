import { constants } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { textOf } from '../../file-io/own-text.js';
import { errnoOf } from '../linux/errno.js';
import type { ProcessRunner } from '../process/process.js';
import { tryLock } from './flock.js';

/**
 * File in a folder of a daemon that names its owner. Its lock shows whether that daemon is running.
 */
export const OWNER_FILE = '.owner';

const OPEN = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const owner = z.object({ agent: z.string(), machine: z.string(), host: z.string(), state: z.string() });

/** The agent id of a daemon, its machine and host, and the real path of its state folder. */
export type Owner = z.infer<typeof owner>;

/** The lock on an owner file, and the owner in it. */
export interface OwnerLock {
  readonly file: FileHandle;
  /** False: the daemon that the file names is running. */
  readonly held: boolean;
  /** Undefined: no owner yet. A crash can have left the file empty. */
  readonly owner: Owner | undefined;
}

/**
 * Opens, or creates, the owner file and tries to take its lock, which is held until the file is
 * closed. Fails with system errors, and with OwnFileError if it is not a regular file.
 */
export async function lockOwnerFile(path: string, runner: ProcessRunner): Promise<OwnerLock> {
  const file = await open(path, OPEN, 0o600);
  try {
    return { file, held: await tryLock(file, runner), owner: parseOwner(await textOf(file, path)) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Durable when resolved. Only for the holder of the lock. */
export async function writeOwner(file: FileHandle, whose: Owner): Promise<void> {
  const text = Buffer.from(`${JSON.stringify(whose)}\n`);
  await file.write(text, 0, text.length, 0);
  await file.truncate(text.length);
  await file.sync();
}

/** The owner of a folder, for error messages. */
export function describeOwner({ agent, host, state }: Owner): string {
  return `the agent ${agent} of the host ${host} (state folder ${state})`;
}

/** The owner that a file in the folder names, without its lock. Fails with system errors. */
export async function ownerOf(folder: string): Promise<Owner | undefined> {
  const text = await readFile(join(folder, OWNER_FILE), 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  });
  return parseOwner(text);
}

function parseOwner(text: string): Owner | undefined {
  try {
    return owner.safeParse(JSON.parse(text)).data;
  } catch {
    // Not JSON: a torn write of a daemon that has ended.
    return undefined;
  }
}
