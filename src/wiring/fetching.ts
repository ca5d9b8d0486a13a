/** The part of the composition root for fetching images. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { monotonicFactory } from 'ulid';
import { ConfigError, type Config } from '../adapters/config/config.js';
import { LocalArchives } from '../adapters/archives/archives.js';
import { TarArchive } from '../adapters/archives/tar-archive.js';
import { ZipArchive } from '../adapters/archives/zip-archive.js';
import { ToolExpander } from '../adapters/archives/expander.js';
import { parseHostPattern, type HostPattern } from '../adapters/config/host-list.js';
import { proxiesOf } from '../adapters/config/proxy-variables.js';
import type { ProxyRules } from '../adapters/http/routes.js';
import { HttpClient } from '../adapters/http/http-client.js';
import { LocalTransfers } from '../adapters/files/local-transfers.js';
import { NetworkSources, type ConfiguredToken } from '../adapters/http/network-sources.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import type { Metrics } from '../adapters/telemetry/metrics/metrics.js';
import { countCacheUse, countEviction } from './metrics/record.js';
import type { ToolLimits } from '../adapters/process/tool-call.js';
import type { assembleStorage } from './storage.js';
import { isBelow } from '../domain/model/address.js';
import { BaseClones } from '../domain/cache/clone-base.js';
import { ImageCache } from '../domain/cache/image-cache.js';
import type { Operations } from '../domain/operations/engine.js';
import type { ImageReader } from '../domain/images/read-image.js';
import type { Resources } from './resources.js';

type Storage = ReturnType<typeof assembleStorage>;

interface FetchNeeds extends Pick<Storage, 'paths' | 'files' | 'reflink' | 'tool' | 'dependants' | 'bases'> {
  readonly operations: Operations;
  readonly reader: ImageReader;
  readonly metrics: Metrics;
  readonly foreignLimits: ToolLimits;
}

/** The adapters of fetching, including the cache. */
export function assembleFetch({ config, runner, cache, cacheFolder, roots }: Resources, needs: FetchNeeds) {
  const { operations, metrics, foreignLimits, ...ports } = needs;
  const own = {
    ...ports,
    ...networkPorts(config, runner, foreignLimits),
    transfers: new LocalTransfers(),
    cacheFiles: cacheFolder,
    clock: Date.now,
    newId: monotonicFactory(),
    cacheVerify: config.cache.verify,
    cacheInRoots: roots.some(({ realPath }) => isBelow(cacheFolder.realPath, realPath)),
    onNetworkBytes: (bytes: number) => metrics.add('hostler_fetch_network_bytes_total', {}, bytes),
    onCache: countCacheUse(metrics),
    onEvicted: countEviction(metrics),
  };
  return {
    ...own,
    imageCache: new ImageCache(operations, { ...own, cache }),
    baseClones: new BaseClones(operations, own),
  };
}

function networkPorts({ fetch }: Config, runner: ProcessRunner, foreignLimits: ToolLimits) {
  const stallMs = fetch.stall_seconds * 1000;
  const { endpoint } = fetch.glance;
  const client = new HttpClient({
    schemes: fetch.allowed_schemes,
    maxRedirects: fetch.max_redirects,
    connectMs: fetch.connect_seconds * 1000,
    stallMs,
    proxy: proxyOf(fetch),
    loopback: fetch.loopback,
    ...(fetch.allowed_hosts === undefined ? {} : { hosts: hostsOf(fetch.allowed_hosts) }),
    ...(fetch.allowed_networks === undefined ? {} : { networks: fetch.allowed_networks }),
    ...authoritiesOf(fetch),
    ...(endpoint === undefined ? {} : { named: new URL(endpoint).origin }),
  });
  return {
    sources: new NetworkSources(client, tokenOf(fetch.glance)),
    expander: new ToolExpander(runner, foreignLimits),
    archives: new LocalArchives({ tar: new TarArchive(runner, foreignLimits), zip: new ZipArchive() }),
    rules: {
      attempts: fetch.attempts,
      backoffMs: fetch.backoff_ms,
      maxBackoffMs: fetch.max_backoff_ms,
      stallMs,
      minBytesPerSecond: fetch.min_bytes_per_second,
      maxBytes: BigInt(fetch.max_bytes),
    },
    sourceDefaults: {
      schemes: fetch.allowed_schemes,
      ...(endpoint === undefined ? {} : { glanceEndpoint: endpoint }),
    },
  };
}

function tokenOf({ endpoint, token_file: file }: Config['fetch']['glance']): ConfiguredToken | undefined {
  return endpoint === undefined || file === undefined ? undefined : { file, origin: new URL(endpoint).origin };
}

const END_OF_CERTIFICATE = '-----END CERTIFICATE-----';

/**
 * CAs for server certificates: Node's list, or the system's, and those in the file. Fails with
 * ConfigError.
 */
export function authoritiesOf({ ca_file: file, system_ca: system }: Config['fetch']): {
  readonly ca?: readonly string[];
} {
  if (file === undefined && !system) return {};
  const common = getCACertificates(system ? 'system' : 'bundled');
  if (system && common.length === 0) throw new ConfigError('fetch.system_ca: the system has no certificates');
  return { ca: [...common, ...(file === undefined ? [] : [certificates(file)])] };
}

function proxyOf({ proxy, no_proxy: spared, ...fetch }: Config['fetch']): ProxyRules {
  const seesSecrets = fetch.proxy_sees_secrets;
  if (!fetch.proxy_from_environment)
    return { ...(proxy === undefined ? {} : { http: proxy, https: proxy }), spared: hostsOf(spared), seesSecrets };
  const { direct, ...proxies } = proxiesOf(process.env);
  return { ...proxies, spared: hostsOf([...spared, ...direct]), seesSecrets };
}

/**
 * Invalid entries of the proxy variables are ignored, as other programs do; the configuration
 * refuses them.
 */
function hostsOf(texts: readonly string[]): readonly HostPattern[] {
  return texts.map(parseHostPattern).filter((pattern) => pattern !== undefined);
}

function certificates(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`fetch.ca_file: ${path} cannot be read: ${String(error)}`);
  }
  try {
    const blocks = text.split(END_OF_CERTIFICATE).slice(0, -1);
    if (blocks.length === 0) throw new Error('no certificate in PEM form');
    for (const block of blocks) new X509Certificate(block + END_OF_CERTIFICATE);
    return text;
  } catch (error) {
    throw new ConfigError(`fetch.ca_file: ${path} holds something else than certificates: ${String(error)}`);
  }
}
