/** The part of the composition root that fetching images stands on. */
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { ConfigError, type Config } from './adapters/config.js';
import { ToolExpander } from './adapters/expander.js';
import { HttpClient } from './adapters/http-client.js';
import { errorText } from './adapters/log.js';
import { NetworkSources } from './adapters/network-sources.js';
import type { ProcessRunner } from './adapters/process.js';
import type { ToolLimits } from './adapters/tool-call.js';

/** Everything but what other verbs have too. */
export function assembleFetch(
  { fetch }: Config,
  runner: ProcessRunner,
  foreignLimits: ToolLimits,
  onNetworkBytes: (bytes: number) => void,
) {
  const stallMs = fetch.stall_seconds * 1000;
  const client = new HttpClient({
    schemes: fetch.allowed_schemes,
    maxRedirects: fetch.max_redirects,
    connectMs: fetch.connect_seconds * 1000,
    stallMs,
    noProxy: fetch.no_proxy,
    ...(fetch.allowed_hosts === undefined ? {} : { hosts: fetch.allowed_hosts }),
    ...(fetch.allowed_networks === undefined ? {} : { networks: fetch.allowed_networks }),
    ...(fetch.proxy === undefined ? {} : { proxy: fetch.proxy }),
    ...(fetch.ca_file === undefined ? {} : { ca: [...rootCertificates, certificates(fetch.ca_file)] }),
  });
  const { endpoint, token_file: tokenFile } = fetch.glance;
  return {
    sources: new NetworkSources(client, tokenFile),
    expander: new ToolExpander(runner, foreignLimits),
    rules: {
      attempts: fetch.attempts,
      backoffMs: fetch.backoff_ms,
      maxBackoffMs: fetch.max_backoff_ms,
      stallMs,
      minBytesPerSecond: fetch.min_bytes_per_second,
      maxBytes: BigInt(fetch.max_bytes),
    },
    onNetworkBytes,
    sourceDefaults: {
      schemes: fetch.allowed_schemes,
      ...(endpoint === undefined ? {} : { glanceEndpoint: endpoint }),
    },
  };
}

function certificates(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`fetch.ca_file: ${path} cannot be read: ${errorText(error)}`);
  }
}
