import { constants, fchmod, fchown, fsync, ftruncate, type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { unsupported } from '../../domain/model/errors.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type { FileCalls } from '../gates/file-calls.js';
import { enteredCallsOf } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';

const FLAGS = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const MODE_BITS = 0o7777n;
/** These may wait for the disk: they run in a thread on any filesystem. */
const disk = {
  chmod: promisify(fchmod),
  chown: promisify(fchown),
  sync: promisify(fsync),
  truncate: promisify(ftruncate),
};

/** An open file in a private folder. Calls fail with system errors. */
export class OpenPart {
  private constructor(
    private readonly fd: number,
    private readonly calls: FileCalls,
  ) {}

  /** Opens the file for the time of `use`, for work that has entered the root. */
  static async with<T>(ref: FileRef, use: (part: OpenPart) => Promise<T>): Promise<T> {
    const calls = enteredCallsOf(ref.handle);
    const fd = await calls.open(procPath(ref), FLAGS);
    try {
      return await use(new OpenPart(fd, calls));
    } finally {
      await calls.close(fd);
    }
  }

  async stat(): Promise<BigIntStats> {
    return this.calls.stat(this.fd);
  }

  /** Changes what differs from `now`. */
  async setOwnerAndMode(
    now: BigIntStats,
    { uid, gid, mode }: { readonly uid: number; readonly gid: number; readonly mode: number },
  ): Promise<void> {
    const isOther = BigInt(uid) !== now.uid || BigInt(gid) !== now.gid;
    if (isOther) await disk.chown(this.fd, uid, gid);
    // A change of the owner may have cleared bits of the mode.
    if (isOther || BigInt(mode) !== (now.mode & MODE_BITS)) await disk.chmod(this.fd, mode);
  }

  /** Fails with UNSUPPORTED_BY_BACKEND for a length that Node cannot set. */
  async setLength(lengthBytes: bigint): Promise<void> {
    const { size } = await this.stat();
    if (size === lengthBytes) return;
    if (lengthBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw unsupported('lengths above 2^53 bytes that are no multiple of 512 cannot be set');
    }
    await disk.truncate(this.fd, Number(lengthBytes));
  }

  async sync(): Promise<void> {
    await disk.sync(this.fd);
  }
}
