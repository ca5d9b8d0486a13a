import { createConnection } from 'node:net';
import { chmod, chown, lstat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ownFile } from '../domain/model/own-files.js';
import { makeFolder } from '../file-io/make-folder.js';

/** sun_path holds 108 bytes with its NUL; bindAsync reports success for more. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Only users who may write to the socket can connect. */
export interface SocketOwner {
  /** Unset: the daemon's own. */
  readonly uid?: number;
  readonly gid?: number;
  readonly mode: number;
}

/** A socket that cannot be created, with a message for the operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

const WHAT = 'the socket (server.listen)';

/**
 * Prepares a socket path: creates its folder, removes the socket of a dead daemon, refuses one on
 * which a process answers. Fails with ListenError, OwnFileError.
 */
export async function prepareSocket(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES)
    throw new ListenError(
      `the socket path ${path} has ${String(bytes)} bytes; the system allows ${String(MAX_SOCKET_PATH_BYTES)}: choose a shorter one`,
    );
  await ownFile(WHAT, path, async () => {
    await makeFolder(dirname(path), 0o755);
    const existing = await lstat(path).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (existing === undefined) return;
    if (!existing.isSocket())
      throw new ListenError(`${path} exists and is no socket: remove it, or choose another path`);
    if (await answers(path)) throw new ListenError(`another process listens on ${path} already`);
    await unlink(path);
  });
}

/** Gives the socket its owner, then the mode that allows connections. Fails with OwnFileError. */
export async function protectSocket(path: string, { uid = -1, gid = -1, mode }: SocketOwner): Promise<void> {
  await ownFile('the owner and mode of the socket (listeners)', path, async () => {
    if (uid !== -1 || gid !== -1) await chown(path, uid, gid);
    await chmod(path, mode);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    const done = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => {
      done(true);
    });
    socket.once('error', () => {
      done(false);
    });
  });
}
