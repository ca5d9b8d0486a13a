/** `http_proxy` and the related variables, read as curl does. */
import { ConfigError } from './config.js';

export interface NamedProxies {
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are reached without a proxy. */
  readonly direct: readonly string[];
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Lower-case variables take precedence. Upper-case HTTP_PROXY is not read: a web server may set it
 * from a request (CVE-2016-5385).
 */
export function proxiesOf(variables: Variables): NamedProxies {
  const named = (...names: readonly string[]) => names.map((name) => variables[name]).find((value) => value);
  const http = named('http_proxy', 'all_proxy', 'ALL_PROXY');
  const https = named('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY');
  return {
    ...(http === undefined ? {} : { http: proxyUrl(http) }),
    ...(https === undefined ? {} : { https: proxyUrl(https) }),
    direct: (named('no_proxy', 'NO_PROXY') ?? '').split(/[\s,]/).filter((word) => word !== ''),
  };
}

/** Without a scheme it is http. The text may hold a password and appears in no message. */
function proxyUrl(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new ConfigError('fetch.proxy_from_environment: a variable holds no http or https URL of a proxy');
}
