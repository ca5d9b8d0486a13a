import { constants } from 'node:fs';
import { utimes } from 'node:fs/promises';
import type { ImageAddress } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { Contents } from '../../domain/ports/files.js';
import { systemError } from '../linux/errno.js';
import { GuardedFile } from './guarded-file.js';
import { assertNotCovered } from '../paths/covered.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry, FileRef } from '../../domain/ports/handles.js';

/** Best size of a gRPC message. */
const PIECE_BYTES = 256 * 1024;
/** No file has a byte beyond this position, and no system call accepts one. */
const MAX_POSITION = 2n ** 63n - 1n - BigInt(PIECE_BYTES);
const NEW_FILE_MODE = 0o600;
const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** Reads and writes the content of files through handles. */
export class LocalContents implements Contents {
  async *read(
    entry: Entry,
    { offset, length }: { readonly offset: bigint; readonly length?: bigint },
  ): AsyncGenerator<Uint8Array, void> {
    if (offset > MAX_POSITION) return;
    const file = await GuardedFile.open(entry, O_RDONLY | O_NONBLOCK);
    try {
      const size = await file.size();
      // Files of /proc report no length, so they are read to their end.
      const end = min(size === 0n ? undefined : size, length === undefined ? undefined : offset + length);
      for (let at = offset; end === undefined || at < end;) {
        const wanted = end === undefined ? PIECE_BYTES : Number(min(end - at, BigInt(PIECE_BYTES)));
        const piece = await file.read(at, wanted);
        if (piece.length > 0) yield piece;
        at += BigInt(piece.length);
        if (piece.length > 0) continue;
        // Files of /sys report more than they hold. A file that was truncated reports its new
        // length now.
        if ((await file.size()) < size)
          throw new HostlerError('SOURCE_CHANGED', `${entry.address} became shorter while it was read`, {
            facts: { path: entry.address },
          });
        return;
      }
    } finally {
      await file.close();
    }
  }

  async fill(ref: FileRef, input: AsyncIterable<Uint8Array>, address: ImageAddress): Promise<void> {
    const file = await GuardedFile.make(ref, address, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, NEW_FILE_MODE);
    try {
      for await (const piece of input) await file.append(piece);
    } finally {
      await file.close();
    }
  }

  async writeInto(entry: Entry, at: bigint | 'end', input: AsyncIterable<Uint8Array>): Promise<void> {
    // Data written beneath a mount point would be hidden by the mount.
    await entry
      .inTime(() => assertNotCovered(entry.handle))
      .catch((error: unknown) => {
        throw systemError(error, entry.address);
      });
    const file = await GuardedFile.open(entry, O_WRONLY | O_NONBLOCK | (at === 'end' ? O_APPEND : 0));
    try {
      await file.clearSetId(entry.mode);
      let position = at;
      for await (const piece of input) {
        if (position === 'end') await file.append(piece);
        else {
          await file.write(piece, position);
          position += BigInt(piece.length);
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async touch(entry: Entry): Promise<void> {
    try {
      const now = new Date();
      await entry.inTime(() => utimes(procPath(entry), now, now));
    } catch (error) {
      throw systemError(error, entry.address);
    }
  }
}

function min(a: bigint, b: bigint): bigint;
function min(a: bigint | undefined, b: bigint | undefined): bigint | undefined;
function min(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
