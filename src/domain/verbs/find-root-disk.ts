import { HostlerError } from '../model/errors.js';
import type { Waiter } from '../model/waiter.js';

/** The disks in a domain's XML, in the order of the document. */
export interface DomainDisks {
  /** `kvm`, `lxc`, `parallels` … */
  readonly virtType: string;
  /** `hvm`, `exe` …; unset: the document does not say. */
  readonly osType?: string;
  readonly filesystems: readonly DomainDevice[];
  readonly disks: readonly DomainDevice[];
}

/** Attributes of a device's `source` and `driver`; unset if absent. */
export interface DomainDevice {
  readonly source: Readonly<Record<'file' | 'dev' | 'dir' | 'name' | 'protocol', string | undefined>>;
  readonly driverType?: string;
  /** `disk`, `lun`, `cdrom`, `floppy`; unset: a disk. */
  readonly kind?: string;
  /** Its number among the bootable devices, from 1 on; unset: it is not one of them. */
  readonly bootOrder?: number;
  /** Where a container sees it. */
  readonly target?: string;
}

/**
 * Reads a domain's XML. Fails with INVALID_FIELD, also if that takes too long, and with the
 * signal's reason. Callers take turns.
 */
export interface DomainReader {
  read(xml: string, waiter: Waiter): Promise<DomainDisks>;
}

/** Queries libvirt. Fails with DOMAIN_NOT_FOUND, TOOL_MISSING, TOOL_FAILED, TOOL_LIMIT_EXCEEDED. */
export interface DomainSource {
  xmlOf(name: string, signal: AbortSignal): Promise<string>;
}

export interface RootDisk {
  readonly path: string;
  readonly format?: string;
}

/** The root disk of a domain (parity row 12). Fails with ROOT_DISK_NOT_FOUND. */
export function findRootDisk(domain: DomainDisks): RootDisk {
  const container = domain.virtType === 'lxc' || (domain.virtType === 'parallels' && domain.osType === 'exe');
  const device = container ? rootFilesystem(domain.filesystems) : firstToBoot(domain.disks);
  const path = device === undefined ? undefined : pathOf(domain, device, container);
  if (device === undefined || path === undefined || path === '')
    throw new HostlerError('ROOT_DISK_NOT_FOUND', 'the domain names no root disk');
  const { driverType } = device;
  // Xen writes aio where others write the format.
  return { path, ...(driverType === undefined ? {} : { format: driverType === 'aio' ? 'raw' : driverType }) };
}

/** A guest's root is on a disk or a LUN: media in a drive come and go. */
const DISKS = ['disk', 'lun'];
const LAST = Number.MAX_SAFE_INTEGER;

/** The first by the boot order if the domain has one; otherwise the first. */
function firstToBoot(all: readonly DomainDevice[]): DomainDevice | undefined {
  const disks = all.filter(({ kind = 'disk' }) => DISKS.includes(kind));
  return disks.toSorted((a, b) => (a.bootOrder ?? LAST) - (b.bootOrder ?? LAST))[0];
}

function rootFilesystem(all: readonly DomainDevice[]): DomainDevice | undefined {
  return all.find(({ target }) => target === '/') ?? all[0];
}

function pathOf({ virtType }: DomainDisks, { source }: DomainDevice, container: boolean): string | undefined {
  if (virtType === 'lxc') return besideRootfs(source.dir ?? '');
  if (container) return source.file;
  if (source.protocol === 'rbd' && source.name !== undefined) return `rbd:${source.name}`;
  return source.file ?? source.dev;
}

/** The disk lies beside the folder `rootfs` that the container was given. */
function besideRootfs(folder: string): string | undefined {
  const components = folder.split('/');
  const last = components.lastIndexOf('rootfs');
  return last === -1 ? undefined : [...components.slice(0, last), 'disk'].join('/');
}
