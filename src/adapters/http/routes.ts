/** How a URL is reached: directly or through a proxy. */
import type { Agent } from 'node:http';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { isMeant, type HostPattern } from '../config/host-list.js';

export interface ProxyRules {
  /** Proxies for http and https URLs; unset: direct. */
  readonly http?: string;
  readonly https?: string;
  /**
   * Hosts that are reached directly despite the proxy; a name includes its subdomains, as in curl.
   */
  readonly spared: readonly HostPattern[];
  /** Whether callers' secrets may pass through the proxy unencrypted. */
  readonly seesSecrets: boolean;
}

/** A proxy for a URL. */
export interface Detour {
  readonly agent: Agent;
  /** The proxy reads the headers and may not see callers' secrets. */
  readonly reads: boolean;
}

/**
 * The addresses of a proxy are tried one after the other; each but the last gets a part of the
 * time.
 */
const PROXY_ADDRESSES = 4;

/**
 * Decides for each URL whether a proxy is used. Holds the agents of the proxies; the addresses of
 * one proxy share a connect timeout (`connectMs`).
 */
export class Routes {
  readonly #proxies: { readonly http?: Agent; readonly https?: Agent };

  constructor(
    private readonly proxy: ProxyRules,
    connectMs: number,
  ) {
    const patience = { autoSelectFamilyAttemptTimeout: Math.max(1, Math.ceil(connectMs / PROXY_ADDRESSES)) };
    this.#proxies = {
      // Plain http requests are sent to the proxy itself, so that a caching proxy can answer them.
      ...(proxy.http === undefined ? {} : { http: new HttpProxyAgent(proxy.http, patience) }),
      ...(proxy.https === undefined ? {} : { https: new HttpsProxyAgent(proxy.https, patience) }),
    };
  }

  /** The proxy for a URL; undefined: none. */
  detourTo(url: URL): Detour | undefined {
    const kind = url.protocol === 'https:' ? 'https' : 'http';
    const agent = isMeant(url, this.proxy.spared, 'below') ? undefined : this.#proxies[kind];
    // https goes through the proxy in a tunnel.
    return agent && { agent, reads: kind === 'http' && !this.proxy.seesSecrets };
  }
}
