import type { FileRef, Handle } from '../../domain/ports/handles.js';

/**
 * An open descriptor of a block device's node; it knows the node, because a sandbox has to be given
 * that.
 */
export class DeviceHandle implements Handle {
  /**
   * @param path the node below /dev
   * @param bytes how much of it counts: all, or, once that has been written, a copy's length
   */
  constructor(
    private readonly node: Handle,
    readonly path: string,
    readonly bytes: bigint,
  ) {}

  get fd(): number {
    return this.node.fd;
  }

  close(): Promise<void> {
    return this.node.close();
  }

  /** The device as a file of its own: whatever name a reference has beside it. */
  get ref(): FileRef {
    return { handle: this };
  }
}

/** Whether the handle is that of a block device, not of a file or a volume. */
export function isDeviceHandle(handle: Handle): handle is DeviceHandle {
  return handle instanceof DeviceHandle;
}
