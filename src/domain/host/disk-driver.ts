import { invalidFields } from '../model/errors.js';

export interface DiskDriverSpec {
  readonly virtType: 'kvm' | 'qemu' | 'xen' | 'lxc' | 'uml' | 'parallels';
  /** Such as 4002000; needed for xen. */
  readonly hypervisorVersion?: number | undefined;
  readonly isBlockDevice: boolean;
}

/** Standard output of a tool that succeeded; undefined if it failed or is not installed. */
export type Try = (tool: string, ...args: readonly string[]) => Promise<string | undefined>;

/** From this version on xend may be missing, and qemu serves the disks. */
const XEND_MAY_BE_GONE = 4002000;
const TAP2_AFTER = 4000000;

/**
 * The disk driver's name; undefined if the hypervisor has none (parity row 25). Fails with
 * INVALID_FIELD.
 */
export async function pickDiskDriver(
  { virtType, hypervisorVersion: version, isBlockDevice }: DiskDriverSpec,
  tried: Try,
): Promise<string | undefined> {
  if (virtType === 'kvm' || virtType === 'qemu') return 'qemu';
  if (virtType !== 'xen') return undefined;
  if (isBlockDevice) return 'phy';
  if (version === undefined) throw invalidFields([{ field: 'hypervisor_version', description: 'xen needs it' }]);
  if (version >= XEND_MAY_BE_GONE && (await tried('xend', 'status')) === undefined) return 'qemu';
  if ((await tried('tap-ctl', 'check')) !== 'ok\n') return 'file';
  return version > TAP2_AFTER ? 'tap2' : 'tap';
}
