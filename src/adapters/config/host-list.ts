/** Lists of hosts in the configuration, and in the proxy variables that other programs use too. */
import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** One entry of a list. */
export interface HostPattern {
  /**
   * `all`: `*`. `below`: `*.example.org`. `suffix`: `.example.org`, which includes `example.org`.
   */
  readonly kind: 'all' | 'name' | 'below' | 'suffix' | 'addresses';
  readonly name: string;
  readonly addresses: BlockList;
  /** Unset: every port. */
  readonly port?: string;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;
const BITS = { 4: 32, 6: 128 } as const;

/**
 * Parses `*`, a name, `.example.org`, `*.example.org`, an address or a CIDR range (`10.0.0.0/8`),
 * each optionally with a port (`[::1]:80`); case does not matter. Undefined for any other text.
 */
export function parseHostPattern(text: string): HostPattern | undefined {
  const { host, port } = withoutPort(text.trim().toLowerCase());
  const rest = { addresses: new BlockList(), ...(port === undefined ? {} : { port }) };
  if (host === '*') return { kind: 'all', name: '', ...rest };
  const addresses = addressesOf(host);
  if (addresses !== undefined) return { ...rest, kind: 'addresses', name: '', addresses };
  const [, mark = '', bare = ''] = /^(\*\.|\.)?(.*)$/.exec(host) ?? [];
  // Non-ASCII names are parsed as the host of a URL, which these characters would end.
  const name = /[/?#:@%\\[\]]/.test(bare) ? '' : domainToASCII(bare.replace(/\.$/, ''));
  // A name of numbers only is a mistyped address.
  if (!NAME.test(name) || /^[\d.]+$/.test(name)) return undefined;
  return { kind: mark === '*.' ? 'below' : mark === '.' ? 'suffix' : 'name', name, ...rest };
}

/** Whether an entry matches this URL's host. With `below`, a name also matches its subdomains. */
export function isMeant(url: URL, patterns: readonly HostPattern[], names: 'alone' | 'below'): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const port = url.port === '' ? DEFAULT_PORTS[url.protocol] : url.port;
  return patterns.some((pattern) => {
    if (pattern.port !== undefined && pattern.port !== port) return false;
    const { kind, name, addresses } = pattern;
    if (kind === 'all') return true;
    const family = isIP(host);
    if (kind === 'addresses') return family !== 0 && addresses.check(host, family === 4 ? 'ipv4' : 'ipv6');
    if (host.endsWith(`.${name}`)) return kind !== 'name' || names === 'below';
    return host === name && kind !== 'below';
  });
}

function withoutPort(text: string): { readonly host: string; readonly port?: string } {
  const [, inner, port] = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(text) ?? [];
  if (inner !== undefined) return { host: inner, ...(port === undefined ? {} : { port: String(Number(port)) }) };
  const [, host, named] = /^([^:]*):(\d{1,5})$/.exec(text) ?? [];
  return host === undefined || named === undefined ? { host: text } : { host, port: String(Number(named)) };
}

function addressesOf(text: string): BlockList | undefined {
  const [address = '', bits, more] = text.split('/');
  const family = isIP(address);
  if ((family !== 4 && family !== 6) || more !== undefined) return undefined;
  const most = BITS[family];
  if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, bits === undefined ? most : Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  return list;
}
