/** Lists of hosts in the configuration, and in the variables that other programs read. */
import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** One entry of a list. */
export interface HostPattern {
  /**
   * `all`: `*`. `below`: `*.example.org`. `suffix`: `.example.org`, which means `example.org` too.
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
 * `*`, a name, `.example.org`, `*.example.org`, an address or a range of them (`10.0.0.0/8`), each
 * with a port if need be (`[::1]:80`); in any case. Undefined: it is none of these.
 */
export function parseHostPattern(text: string): HostPattern | undefined {
  const { host, port } = withoutPort(text.trim().toLowerCase());
  const rest = { addresses: new BlockList(), ...(port === undefined ? {} : { port }) };
  if (host === '*') return { kind: 'all', name: '', ...rest };
  const addresses = addressesOf(host);
  if (addresses !== undefined) return { ...rest, kind: 'addresses', name: '', addresses };
  const [, mark = '', bare = ''] = /^(\*\.|\.)?(.*)$/.exec(host) ?? [];
  // These would end the host of a URL, as which names beyond ASCII are read.
  const name = /[/?#:@%\\[\]]/.test(bare) ? '' : domainToASCII(bare.replace(/\.$/, ''));
  // Only numbers are no name, and a mistake in an address.
  if (!NAME.test(name) || /^[\d.]+$/.test(name)) return undefined;
  return { kind: mark === '*.' ? 'below' : mark === '.' ? 'suffix' : 'name', name, ...rest };
}

/**
 * Whether an entry means this URL's host; a name means what is below it too where that is how the
 * list is read (`below`).
 */
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
