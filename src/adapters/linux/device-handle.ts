import type { FileRef, Handle } from '../../domain/ports/handles.js';

/** An open descriptor of a block device. It also knows the device node, which a sandbox needs. */
export class DeviceHandle implements Handle {
  /**
   * @param path the node below /dev
   * @param bytes the length that is in use: the whole device, or, after a copy was written, the
   * length of the copy
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

  /** A reference to the device itself, without the name in a reference beside it. */
  get ref(): FileRef {
    return { handle: this };
  }
}

/** Whether the handle is that of a block device, not of a file or a volume. */
export function isDeviceHandle(handle: Handle): handle is DeviceHandle {
  return handle instanceof DeviceHandle;
}
