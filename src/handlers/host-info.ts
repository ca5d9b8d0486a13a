import * as z from 'zod';
import { canonicalArchitecture } from '../domain/host/architecture.js';
import { pickDiskDriver, type Try } from '../domain/host/disk-driver.js';
import {
  filesystemInfo,
  watchFilesystem,
  type FilesystemInfo,
  type FilesystemPorts,
} from '../domain/host/filesystem-info.js';
import { liesIn, type Role } from '../domain/access/role.js';
import { basename, isBelow } from '../domain/model/address.js';
import type { HostPool, HostProbe, HostRoot, HostTool } from '../domain/host/host-info.js';
import { hostnameKind } from '../domain/host/hostname.js';
import { initiatorName } from '../domain/host/initiator.js';
import { instancePath, instancePathAtDestination } from '../domain/host/instance-path.js';
import { isOfSource, mountedAt, type Mounts } from '../domain/host/mounted.js';
import { asHostlerError } from '../domain/model/errors.js';
import { uint64 } from '../domain/model/numbers.js';
import { CREATABLE_FORMATS, READABLE_FORMATS } from '../domain/model/image-format.js';
import {
  HostnameKind,
  RootInfo,
  ToolInfo,
  type FilesystemInfo as WireFilesystem,
  type HostInfoServiceService,
} from '../gen/hostler/v1/host_info_service.js';
import { CONTRACT_VERSION, type Feature } from '../protocol/version.js';
import { address, defined, durationMs, parseRequest, text } from './fields.js';
import { mapStream, type Handlers } from './handler.js';

export interface HostPorts extends FilesystemPorts {
  readonly pools: {
    /**
     * What a configured pool holds, and what it can still take. Fails with POOL_NOT_FOUND,
     * ROOT_STALLED.
     */
    space(name: string): Promise<{ readonly usedBytes: bigint; readonly freeBytes: bigint }>;
    /** Pools that the caller can reach. */
    reached(): readonly HostPool[];
  };
  readonly instancesPath: string;
  readonly probe: HostProbe;
  readonly agent: {
    readonly id: string;
    readonly version: string;
    readonly kernel: string;
    readonly sandbox: string;
    readonly features: readonly Feature[];
  };
  readonly host: Mounts & {
    readonly architecture: string;
    initiatorText(): Promise<string | undefined>;
    readonly exists: (path: string) => Promise<boolean>;
    readonly tried: Try;
  };
}

const [MIN_INTERVAL_MS, MAX_INTERVAL_MS, DEFAULT_INTERVAL_MS] = [100, 86_400_000, 5000];

const KINDS = {
  hostname: HostnameKind.HOSTNAME_KIND_HOSTNAME,
  ipv4: HostnameKind.HOSTNAME_KIND_IPV4,
  ipv6: HostnameKind.HOSTNAME_KIND_IPV6,
} as const;

const instance = z.object({ uuid: z.string(), name: z.string() }, 'required');
const onFilesystem = z.object({ path: address });
const inPool = z.object({ pool: text });
const watched = z.object({
  path: address,
  thresholdBytes: z.bigint().optional(),
  interval: durationMs(MIN_INTERVAL_MS, MAX_INTERVAL_MS).optional(),
});
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
export function hostHandlers(ports: HostPorts): Handlers<typeof HostInfoServiceService> {
  const { host, probe, agent } = ports;
  return {
    async getHostInfo(_, { grant }) {
      const [tools, roots] = await Promise.all([
        probe.tools(),
        Promise.all(probe.roots.flatMap((root) => rootInfos(root, probe, grant))),
      ]);
      return {
        ...agentFacts(agent),
        architecture: canonicalArchitecture(host.architecture),
        tools: tools.map((tool) => toolInfo(tool, grant)),
        readableFormats: [...READABLE_FORMATS],
        creatableFormats: [...CREATABLE_FORMATS],
        roots,
        pools: [...ports.pools.reached()],
      };
    },
    async *watchFilesystem(request, caller) {
      const { path, interval = DEFAULT_INTERVAL_MS, ...rest } = parseRequest(watched, request);
      const spec = { address: path, intervalMs: interval, ...defined(rest) };
      yield* mapStream(watchFilesystem(spec, caller, ports), (info) => ({ filesystem: filesystem(info) }));
    },
    async getFilesystemInfo(request, { signal }) {
      const { path } = parseRequest(onFilesystem, request);
      return { filesystem: filesystem(await filesystemInfo(path, ports, signal)) };
    },
    async getPoolInfo(request) {
      const { usedBytes, freeBytes } = await ports.pools.space(parseRequest(inPool, request).pool);
      return { totalBytes: uint64(usedBytes + freeBytes), freeBytes: uint64(freeBytes), usedBytes: uint64(usedBytes) };
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
      const mount = await mountedAt(mountPath, host);
      const isIt = mount !== undefined && (source === undefined || (await isOfSource(mount, source, host)));
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
    ...instanceFolders(ports),
  };
}

function agentFacts({ id, version, kernel, sandbox, features }: HostPorts['agent']) {
  return {
    agentId: id,
    agentVersion: version,
    contractVersion: CONTRACT_VERSION,
    features: [...features],
    kernel,
    sandbox,
  };
}

function instanceFolders({ instancesPath, host }: HostPorts) {
  return {
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
  } satisfies Handlers<typeof HostInfoServiceService>;
}

function filesystem({ counts, overcommittedBytes, type, ...info }: FilesystemInfo): WireFilesystem {
  return {
    ...info,
    filesystemType: type,
    overcommittedBytes,
    totalInodes: counts.inodes,
    freeInodes: counts.freeInodes,
  };
}

/** The paths of tools are not shown to roles that can only read. */
function toolInfo({ path, ...tool }: HostTool, { write }: Role): ToolInfo {
  if (path === undefined) return ToolInfo.fromPartial(tool);
  return ToolInfo.fromPartial({ ...tool, path: write === 'all' ? path : basename(path) });
}

/** A root as far as the role covers it: all of it, parts of it, or nothing. */
function rootInfos(root: HostRoot, probe: HostProbe, { read, write }: Role): Promise<RootInfo>[] {
  if (liesIn(root.path, read) || liesIn(root.path, write)) return [rootInfo(root, probe)];
  const parts = [read, write].flatMap((places) => (places === 'all' ? [] : places));
  return [...new Set(parts)]
    .filter((part) => isBelow(part, root.path))
    .map(async (path) => ({ ...(await rootInfo(root, probe)), path }));
}

async function rootInfo(root: HostRoot, probe: HostProbe): Promise<RootInfo> {
  try {
    return { ...root, ...(await probe.features(root)), problem: '' };
  } catch (error) {
    return RootInfo.fromPartial({ ...root, problem: asHostlerError(error).reason });
  }
}
