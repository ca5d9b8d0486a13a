/** Keys of the configuration for transfers of images between this host and others. */
import * as z from 'zod';
import { absolutePath, hostPattern } from './access-config.js';
import { network } from './fetch-config.js';
import type { PullConfig } from '../../domain/copy/segment-pull.js';
const seconds = z.int().min(1);
/** The path becomes part of ssh's options, which cannot escape a quote or percent sign. */
const sshPath = absolutePath.regex(/^[^"%\n]*$/, 'must not hold a quote, percent sign or line end');

export const ssh = z
  .strictObject({
    user: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/, 'must be the name of a user')
      .optional(),
    identity_file: sshPath.optional(),
    known_hosts_file: sshPath.optional(),
    config_file: sshPath.optional(),
    host_keys: z.enum(['known', 'accept-new']).default('known'),
    connect_timeout_seconds: seconds.default(10),
    dead_line_seconds: z.int().min(3).default(15),
    trusted_hosts: z.array(hostPattern).default(['*']),
  })
  .prefault({});

const hostName = z
  .string()
  .regex(/^[A-Za-z0-9_][\w.:-]{0,252}$/, 'must be a host name or an address, as its certificate says');

export const peers = z
  .array(
    z.strictObject({
      host: hostName,
      address: z
        .string()
        .regex(/^(?:[^:[\]/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/, 'must be HOST:PORT')
        .optional(),
      trusted: z.boolean().default(false),
      export_networks: z.array(network).default([]),
    }),
  )
  .default([])
  .refine((all) => new Set(all.map(({ host }) => host)).size === all.length, 'two have the same host');

export const exports = z
  .strictObject({
    host: hostName,
    address: z.union([z.ipv4(), z.ipv6()]),
    ports: z
      .string()
      .regex(/^\d{1,5}-\d{1,5}$/, 'must be FIRST-LAST')
      .default('16530-16593'),
    idle_seconds: seconds.default(120),
    total_hours: z.number().positive().default(48),
  })
  .optional();

export const pulls = z
  .strictObject({
    segment_mib: z.int().min(1).default(256),
    streams: z.int().min(1).max(16).default(2),
    patience_seconds: z.int().min(0).default(120),
    stall_seconds: seconds.default(60),
    answer_seconds: seconds.default(60),
    silence_seconds: seconds.default(3600),
  })
  .prefault({});

export const uploads = z
  .strictObject({
    expire_hours: z
      .number()
      .positive()
      .max(24 * 365)
      .default(24),
  })
  .prefault({});

/** The table [ssh] for the ssh adapter; options that are not set are left out. */
export function sshConfig({
  user,
  identity_file,
  known_hosts_file,
  config_file,
  ...rest
}: z.infer<typeof ssh>): SshConfig {
  return {
    ...(user === undefined ? {} : { user }),
    ...(identity_file === undefined ? {} : { identityFile: identity_file }),
    ...(known_hosts_file === undefined ? {} : { knownHostsFile: known_hosts_file }),
    ...(config_file === undefined ? {} : { configFile: config_file }),
    hostKeys: rest.host_keys,
    connectTimeoutSeconds: rest.connect_timeout_seconds,
    deadLineSeconds: rest.dead_line_seconds,
    trustedHosts: rest.trusted_hosts,
  };
}

/** Where exports listen. */
export function exportConfig(given: z.infer<typeof exports>): ExportConfig | undefined {
  if (given === undefined) return undefined;
  const [firstPort = 0, lastPort = 0] = given.ports.split('-').map(Number);
  return { address: given.address, firstPort, lastPort };
}

/** The table [pulls] in bytes and milliseconds. */
export function pullConfig({ segment_mib, streams, patience_seconds }: z.infer<typeof pulls>): PullConfig {
  return { segmentBytes: BigInt(segment_mib) << 20n, streams, patienceMs: patience_seconds * 1000 };
}

/** The default port of agents. */
const AGENT_PORT = 16_520;

/** The tables [[peers]] and [exports]. A peer without an address is at AGENT_PORT of its host. */
export function peersConfig(config: {
  readonly peers: z.infer<typeof peers>;
  readonly exports?: z.infer<typeof exports>;
}): {
  readonly peers: readonly { host: string; address: string; trusted: boolean; exportNetworks: string[] }[];
  readonly ownHost: string | undefined;
} {
  return {
    peers: config.peers.map(({ host, trusted, address, export_networks: exportNetworks }) => ({
      host,
      trusted,
      address: address ?? `${bracketed(host)}:${String(AGENT_PORT)}`,
      exportNetworks,
    })),
    ownHost: config.exports?.host,
  };
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

export interface ExportConfig {
  /** Listen address. */
  readonly address: string;
  readonly firstPort: number;
  readonly lastPort: number;
}

export interface SshConfig {
  readonly user?: string;
  readonly identityFile?: string;
  readonly knownHostsFile?: string;
  /** ssh's own configuration file; unset: none. */
  readonly configFile?: string;
  /**
   * `known`: only hosts whose key is known. `accept-new`: the key of an unknown host is accepted
   * the first time.
   */
  readonly hostKeys: 'known' | 'accept-new';
  readonly connectTimeoutSeconds: number;
  /** A connection that is dead for this time is given up. */
  readonly deadLineSeconds: number;
  /** Hosts whose images are trusted: names, `*.example.org`, `*`. */
  readonly trustedHosts: readonly string[];
}
