/** By which way a URL is reached: straight, or through a proxy. */
import type { Agent } from 'node:http';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { isMeant, type HostPattern } from '../config/host-list.js';

export interface ProxyRules {
  /** For URLs of http and of https; unset: they are asked for straight. */
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are asked straight all the same; a name means all below it too, as curl has it. */
  readonly spared: readonly HostPattern[];
  /** What callers keep secret may pass through it in the clear. */
  readonly seesSecrets: boolean;
}

/** A proxy on the way. */
export interface Detour {
  readonly agent: Agent;
  /** It reads the headers, and may not see what a caller keeps secret. */
  readonly reads: boolean;
}

/** A proxy's addresses are tried one after the other: each but the last has a part of the time. */
const PROXY_ADDRESSES = 4;

/**
 * Decides for each URL whether a proxy is used. Keeps the agents of the proxies, with one connect
 * timeout (`connectMs`) shared by a proxy's addresses.
 */
export class Routes {
  readonly #proxies: { readonly http?: Agent; readonly https?: Agent };

  constructor(
    private readonly proxy: ProxyRules,
    connectMs: number,
  ) {
    const patience = { autoSelectFamilyAttemptTimeout: Math.max(1, Math.ceil(connectMs / PROXY_ADDRESSES)) };
    this.#proxies = {
      // Plain requests go to the proxy as they are, so that a distributor can answer them itself.
      ...(proxy.http === undefined ? {} : { http: new HttpProxyAgent(proxy.http, patience) }),
      ...(proxy.https === undefined ? {} : { https: new HttpsProxyAgent(proxy.https, patience) }),
    };
  }

  /** The proxy on the way to a URL; undefined: there is none. */
  detourTo(url: URL): Detour | undefined {
    const kind = url.protocol === 'https:' ? 'https' : 'http';
    const agent = isMeant(url, this.proxy.spared, 'below') ? undefined : this.#proxies[kind];
    // What is https goes through it in a tunnel.
    return agent && { agent, reads: kind === 'http' && !this.proxy.seesSecrets };
  }
}
