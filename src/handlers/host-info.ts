import { z } from 'zod';
import { canonicalArchitecture } from '../domain/host/architecture.js';
import { pickDiskDriver, type Try } from '../domain/host/disk-driver.js';
import { filesystemInfo, type Filesystems } from '../domain/host/filesystem-info.js';
import { hostnameKind } from '../domain/host/hostname.js';
import { initiatorName } from '../domain/host/initiator.js';
import { instancePath, instancePathAtDestination } from '../domain/host/instance-path.js';
import { mountAt, type MountEntry } from '../domain/host/mounted.js';
import type { SpaceLedger } from '../domain/operations/space.js';
import { HostnameKind, type HostInfoServiceService } from '../gen/hostler/v1/host_info_service.js';
import { address, parseRequest } from './fields.js';
import type { Handlers } from './handler.js';

export interface HostPorts {
  readonly filesystems: Filesystems;
  readonly space: SpaceLedger;
  readonly instancesPath: string;
  readonly host: {
    readonly architecture: string;
    mounts(): Promise<readonly MountEntry[]>;
    initiatorText(): Promise<string | undefined>;
    readonly exists: (path: string) => Promise<boolean>;
    readonly tried: Try;
  };
}

const KINDS = {
  hostname: HostnameKind.HOSTNAME_KIND_HOSTNAME,
  ipv4: HostnameKind.HOSTNAME_KIND_IPV4,
  ipv6: HostnameKind.HOSTNAME_KIND_IPV6,
} as const;

const instance = z.object({ uuid: z.string(), name: z.string() }, 'required');
const onFilesystem = z.object({ path: address });
const mounted = z.object({
  mountPath: z.string().regex(/^\/[^\0]*$/, 'must be an absolute path'),
  source: z.string().optional(),
});
const disk = z.object({
  virtType: z.enum(['kvm', 'qemu', 'xen', 'lxc', 'uml', 'parallels']),
  hypervisorVersion: z.number().optional(),
  isBlockDevice: z.boolean(),
});
const folder = z.object({ instance, forceOld: z.boolean(), relative: z.boolean() });
const destination = z.object({
  instance,
  migrateData: z.object({ instanceRelativePath: z.string().optional() }).optional(),
});

/** HostInfoService: parse, one domain call, map. */
export function hostHandlers({
  filesystems,
  space,
  instancesPath,
  host,
}: HostPorts): Handlers<typeof HostInfoServiceService> {
  return {
    async getFilesystemInfo(request) {
      const { counts, ...info } = await filesystemInfo(parseRequest(onFilesystem, request).path, {
        filesystems,
        space,
      });
      return {
        filesystem: {
          ...info,
          overcommittedBytes: undefined,
          totalInodes: counts.inodes,
          freeInodes: counts.freeInodes,
        },
      };
    },
    getArchitecture({ imageArchitecture }) {
      return Promise.resolve({ architecture: canonicalArchitecture(imageArchitecture ?? host.architecture) });
    },
    async getIscsiInitiator() {
      const name = initiatorName((await host.initiatorText()) ?? '');
      return { configured: name !== undefined, initiatorName: name ?? '' };
    },
    async isMounted(request) {
      const { mountPath, source } = parseRequest(mounted, request);
      const mount = mountAt(mountPath, await host.mounts());
      const isIt = mount !== undefined && (source === undefined || mount.source === source);
      return { mounted: isIt, source: mount?.source ?? '', filesystemType: mount?.type ?? '' };
    },
    validateHostname({ hostname }) {
      const kind = hostnameKind(hostname);
      return Promise.resolve({
        valid: kind !== undefined,
        kind: kind === undefined ? HostnameKind.HOSTNAME_KIND_UNSPECIFIED : KINDS[kind],
      });
    },
    async pickDiskDriverName(request) {
      return { driverName: await pickDiskDriver(parseRequest(disk, request), host.tried) };
    },
    async getInstancePath(request) {
      return { path: await instancePath(parseRequest(folder, request), instancesPath, host.exists) };
    },
    async getInstancePathAtDestination(request) {
      const { instance: wanted, migrateData } = parseRequest(destination, request);
      const spec = {
        instance: wanted,
        forceOld: false,
        relative: false,
        relativePath: migrateData?.instanceRelativePath,
      };
      return { path: await instancePathAtDestination(spec, instancesPath, host.exists) };
    },
  };
}
