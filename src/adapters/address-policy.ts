import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { HostlerError } from '../domain/errors.js';

/** Where images may be fetched from. */
export interface AddressRules {
  readonly schemes: readonly string[];
  /** Host names, `*.example.org` for all below; unset: every host. */
  readonly hosts?: readonly string[];
  /** CIDR ranges; unset: all but link-local addresses and those at which clouds tell secrets. */
  readonly networks?: readonly string[];
}

/** Link-local, and the metadata services of clouds that are elsewhere (AWS, Azure, GCP, Alibaba, Oracle). */
const NEVER_UNASKED = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '192.0.0.192/32',
];
/** IPv4 addresses in IPv6 clothes: mapped, and by NAT64. */
const CLOTHED = /^(?:::ffff:|64:ff9b::)(\d+\.\d+\.\d+\.\d+|[0-9a-f]{1,4}:[0-9a-f]{1,4})$/i;

/** Judges URLs, and the addresses that are really connected to. */
export class AddressPolicy {
  readonly #listed = new BlockList();

  constructor(private readonly rules: AddressRules) {
    for (const range of rules.networks ?? NEVER_UNASKED) {
      const [address = '', bits] = range.split('/');
      this.#listed.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
    }
  }

  /** By its scheme, host and, where the host is one, address. Fails with SOURCE_FORBIDDEN. */
  assertUrl(url: URL): void {
    const scheme = url.protocol.slice(0, -1);
    if (!this.rules.schemes.includes(scheme)) throw forbidden(url.host, `the scheme ${scheme} is not allowed`);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const { hosts } = this.rules;
    if (hosts !== undefined && !hosts.some((pattern) => fits(host, pattern)))
      throw forbidden(url.host, 'the host is not among fetch.allowed_hosts');
    if (isIP(host) !== 0) this.assertAddress(host, host);
  }

  /** Resolves a name to the addresses that may be connected to, and to no other. */
  readonly lookup: LookupFunction = (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      try {
        for (const { address } of addresses) this.assertAddress(address, host);
      } catch (refusal) {
        // One bad address spoils the name: whoever mixes them means to be reached at the bad one.
        callback(refusal instanceof Error ? refusal : new Error(String(refusal)), []);
        return;
      }
      const [first] = addresses;
      if (options.all === true) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    });
  };

  assertAddress(address: string, host: string): void {
    const plain = undressed(address);
    const listed = this.#listed.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
    if (listed === (this.rules.networks !== undefined)) return;
    throw forbidden(host, `the address ${address} is not allowed`);
  }
}

/** An IPv4 address that came as IPv6, as what it is. */
function undressed(address: string): string {
  const [, inner] =
    CLOTHED.exec(
      new URL(`http://${isIP(address) === 6 ? `[${address}]` : address}`).hostname.replace(/^\[|\]$/g, ''),
    ) ?? [];
  if (inner === undefined || inner.includes('.')) return inner ?? address;
  const [high = 0, low = 0] = inner.split(':').map((part) => Number.parseInt(part, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

function fits(host: string, pattern: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
}

function forbidden(host: string, why: string): HostlerError {
  return new HostlerError('SOURCE_FORBIDDEN', `${host}: ${why}`, { facts: { host } });
}
