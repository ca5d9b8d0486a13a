import { HostlerError } from './errors.js';

/** What matters of a domain's XML: the first of each, as the document has them. */
export interface DomainDisks {
  /** `kvm`, `lxc`, `parallels` … */
  readonly virtType: string;
  /** `hvm`, `exe` …; unset: the document does not say. */
  readonly osType?: string;
  readonly filesystem?: DomainDevice;
  readonly disk?: DomainDevice;
}

/** Attributes of a device's `source` and `driver`; unset where there are none. */
export interface DomainDevice {
  readonly source: Readonly<Record<'file' | 'dev' | 'dir' | 'name' | 'protocol', string | undefined>>;
  readonly driverType?: string;
}

/** Reads a domain's XML. Fails with INVALID_FIELD, also when that takes too long, and with the signal's reason. */
export interface DomainReader {
  read(xml: string, signal: AbortSignal): Promise<DomainDisks>;
}

/** Asks libvirt. Fails with DOMAIN_NOT_FOUND, TOOL_MISSING, TOOL_FAILED, TOOL_LIMIT_EXCEEDED. */
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
  const device = container ? domain.filesystem : domain.disk;
  const path = device === undefined ? undefined : pathOf(domain, device, container);
  if (device === undefined || path === undefined || path === '')
    throw new HostlerError('ROOT_DISK_NOT_FOUND', 'the domain names no root disk');
  const { driverType } = device;
  // Xen says aio where the others say what is on the disk.
  return { path, ...(driverType === undefined ? {} : { format: driverType === 'aio' ? 'raw' : driverType }) };
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
