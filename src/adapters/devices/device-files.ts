import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { ByteSource, Files, ImageLocks, OpenFile } from '../../domain/ports/images.js';
import { errnoOf } from '../linux/errno.js';
import { isDeviceHandle, type DeviceHandle } from '../linux/device-handle.js';
import { procPath } from '../linux/proc-path.js';
import type { AddressedFile, FileRef, Fingerprint, Handle, Resolved } from '../../domain/ports/handles.js';

/** Devices have no reliable time of last change, so a device may have changed just now. */
const UNKNOWN_NS = 1n << 63n;

/** The device that a reference stands for. */
export function deviceOf({ handle }: FileRef): DeviceHandle {
  if (isDeviceHandle(handle)) return handle;
  throw new HostlerError('BUG', 'a file was taken for a block device');
}

/** Block devices as files: read and written in the same way, of a fixed size, and never removed. */
export class DeviceFiles implements Files {
  /** @param local reads and syncs any open descriptor */
  constructor(private readonly local: Pick<Files, 'withBytes' | 'sync' | 'openForChange'>) {}

  withBytes<T>(file: AddressedFile, use: (bytes: ByteSource) => Promise<T>): Promise<T> {
    return this.local.withBytes({ address: file.address, ...deviceOf(file).ref }, use);
  }

  remove(): Promise<undefined> {
    return Promise.reject(new HostlerError('BUG', 'a device cannot be removed'));
  }

  refresh(file: Resolved): Promise<Resolved> {
    return Promise.resolve(file);
  }

  fingerprint(file: FileRef): Promise<Fingerprint> {
    const { fd, bytes } = deviceOf(file);
    return Promise.resolve({
      device: 0n,
      inode: BigInt(fd),
      lengthBytes: bytes,
      modifyTimeNs: 0n,
      changeTimeNs: UNKNOWN_NS,
    });
  }

  sync(file: Resolved): Promise<void> {
    return this.local.sync({ ...file, ...deviceOf(file).ref });
  }

  openForChange(file: Resolved): Promise<OpenFile> {
    return this.local.openForChange({ ...file, ...deviceOf(file).ref });
  }

  allocatedBytes(file: FileRef): Promise<bigint> {
    return Promise.resolve(deviceOf(file).bytes);
  }

  /** Devices need no new space. */
  newRoom(): Promise<bigint> {
    return Promise.resolve(0n);
  }

  freeBytes(directory: Handle): Promise<bigint> {
    return Promise.resolve(deviceOf({ handle: directory }).bytes);
  }
}

/**
 * Who holds a device: qemu by its locks on the node, all other users (a mount, device mapper, swap)
 * by an exclusive claim.
 */
export class DeviceLocks implements ImageLocks {
  /** Only one check at a time: two on the same device would each take the other for a holder. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(private readonly qemu: ImageLocks) {}

  holder(file: FileRef): Promise<number | undefined> {
    return this.qemu.holder(deviceOf(file).ref);
  }

  async holds(files: readonly FileRef[], age?: 'now' | 'shown'): ReturnType<ImageLocks['holds']> {
    const refs = files.map((file) => deviceOf(file).ref);
    const locked = await this.qemu.holds(refs, age);
    const claimed = await Promise.all(refs.map((ref) => this.#isClaimed(ref)));
    return refs.map((_, at) => {
      const lock = locked[at] ?? 'none';
      return lock === 'none' && claimed[at] === true ? 'writer' : lock;
    });
  }

  #isClaimed(ref: FileRef): Promise<boolean> {
    const look = this.#last.then(() => isClaimed(ref));
    this.#last = look.catch(() => undefined); // the caller awaits `look`
    return look;
  }
}

/** The kernel refuses to open a device exclusively while it uses the device itself. */
async function isClaimed(ref: FileRef): Promise<boolean> {
  try {
    const file = await open(procPath(ref), constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK);
    await file.close();
    return false;
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return true;
    throw new HostlerError('ACCESS_DENIED', `a device cannot be opened: ${errnoOf(error) ?? ''}`, { cause: error });
  }
}
