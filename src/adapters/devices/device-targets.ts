import type { ImageAddress } from '../../domain/model/address.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { Files } from '../../domain/ports/images.js';
import type { AsideFiles, AsideFolder } from '../files/set-aside.js';
import { DeviceHandle } from '../linux/device-handle.js';
import { deviceOf } from './device-files.js';
import type { Resolved } from '../../domain/ports/handles.js';
import type { StagingFile, StagedImage, PartRequest, ResolvedTarget, Targets } from '../../domain/ports/targets.js';

interface DeviceTargetPorts {
  readonly files: Files;
  readonly aside: AsideFolder;
}

/** Devices are written in place: there is nothing to prepare, publish or remove. */
export class DeviceTargets implements Targets {
  constructor(private readonly ports: DeviceTargetPorts) {}

  async prepare(target: ResolvedTarget, { attributes, operationId }: PartRequest): Promise<StagedImage> {
    if (Object.keys(attributes).length > 0)
      throw unsupported('a device keeps its owner and mode', { path: target.address });
    return new DevicePart(target, await this.ports.aside.files(operationId), this.ports.files);
  }

  clean(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  takenBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async sweep(isAtWork: (operationId: string) => boolean): Promise<readonly string[]> {
    await this.ports.aside.sweep(isAtWork);
    return [];
  }
}

class DevicePart implements StagedImage {
  readonly inherited = false;
  readonly name: string;
  #handle: DeviceHandle;

  constructor(
    private readonly target: ResolvedTarget,
    private readonly beside: AsideFiles,
    private readonly files: Files,
  ) {
    this.name = target.name;
    this.#handle = deviceOf({ handle: target.directory });
  }

  get handle(): DeviceHandle {
    return this.#handle;
  }

  get aside(): StagingFile {
    return this.beside.aside;
  }

  get expanded(): StagingFile {
    return this.beside.expanded;
  }

  get member(): StagingFile {
    return this.beside.member;
  }

  get address(): ImageAddress {
    return this.target.address;
  }

  canWriteDirectly(): Promise<boolean> {
    return Promise.resolve(true);
  }

  adopt(): Promise<void> {
    const why = 'a file that another tool made cannot become a device: it is written onto one';
    return Promise.reject(unsupported(why, { path: this.target.address }));
  }

  /** Bytes after the copy stay as they are and are not part of it. */
  truncate(lengthBytes: bigint): Promise<void> {
    this.#handle = new DeviceHandle(this.#handle, this.#handle.path, lengthBytes);
    return Promise.resolve();
  }

  async seal(): Promise<Resolved> {
    const { address, storedName, existing, trusted } = this.target;
    const handle = deviceOf({ handle: this.target.directory });
    if (existing === undefined) throw new HostlerError('BUG', `${address} is a device that does not exist`);
    const made: Resolved = {
      storage: 'device',
      address,
      storedName,
      handle,
      device: existing.device,
      inode: existing.inode,
      lengthBytes: handle.bytes,
      allocatedBytes: handle.bytes,
      modifyTimeNs: 0n,
      writable: true,
      trusted,
    };
    await this.files.sync(made);
    return made;
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  publish(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** The handle belongs to the target and is closed with it. */
  async discard(): Promise<readonly string[]> {
    await this.aside.remove();
    await this.expanded.remove();
    await this.member.remove();
    return [];
  }

  /** Devices need no new space. */
  takenBytes(): Promise<bigint> {
    return Promise.resolve(0n);
  }

  async leave(): Promise<bigint> {
    await this.discard();
    return 0n;
  }
}
