import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { HostlerError } from '../../domain/model/errors.js';
import { isMeant, type HostPattern } from '../config/host-list.js';
import { embeddedAddresses } from '../../protocol/embedded-addresses.js';

/** Where images may be fetched from. */
export interface AddressRules {
  readonly schemes: readonly string[];
  /** Unset: every host. */
  readonly hosts?: readonly HostPattern[];
  /**
   * CIDR ranges; unset: all addresses except link-local ones and the metadata services of clouds.
   */
  readonly networks?: readonly string[];
  /**
   * Whether services on this host's loopback may be connected to; if not, `networks` cannot allow
   * them either.
   */
  readonly loopback: boolean;
}

/**
 * Link-local addresses, and metadata services of clouds with other addresses (AWS, Azure, GCP,
 * Alibaba, Oracle).
 */
const NEVER_UNASKED = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '192.0.0.192/32',
];
/**
 * Addresses of this host only. The kernel treats a connection to an unspecified address (0.0.0.0,
 * ::) as one to itself.
 */
const LOOPBACK = ['127.0.0.0/8', '0.0.0.0/8', '::/127'];

const NOT_HERE = 'it is the loopback of this host, and fetch.loopback is false';

/** Checks URLs, and the addresses that are actually connected to. */
export class AddressPolicy {
  readonly #listed: BlockList;
  readonly #loopback = listOf(LOOPBACK);

  constructor(private readonly rules: AddressRules) {
    this.#listed = listOf(rules.networks ?? NEVER_UNASKED);
  }

  /**
   * Checks scheme, host and, if the host is an address, that address. Fails with SOURCE_FORBIDDEN.
   */
  assertUrl(url: URL): void {
    const scheme = url.protocol.slice(0, -1);
    if (!this.rules.schemes.includes(scheme)) throw forbidden(url.host, `the scheme ${scheme} is not allowed`);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const { hosts } = this.rules;
    if (hosts !== undefined && !isMeant(url, hosts, 'alone'))
      throw forbidden(url.host, 'the host is not among fetch.allowed_hosts');
    if (isIP(host) !== 0) this.assertAddress(host, host);
    // A proxy may run on this host, and resolves these names without DNS (RFC 6761, 6.3).
    if (!this.rules.loopback && /(?:^|\.)localhost\.?$/.test(host)) throw forbidden(url.host, NOT_HERE);
  }

  /** Resolves a name; fails if any of its addresses is forbidden. */
  readonly lookup: LookupFunction = (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      try {
        for (const { address } of addresses) this.assertAddress(address, host);
      } catch (refusal) {
        // One forbidden address forbids the name: a name that also has allowed addresses may be an
        // attempt to reach the forbidden one.
        callback(refusal instanceof Error ? refusal : new Error(String(refusal)), []);
        return;
      }
      const [first] = addresses;
      if (options.all === true) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    });
  };

  /** Fails with SOURCE_FORBIDDEN. */
  assertAddress(address: string, host: string): void {
    const inner = embeddedAddresses(address);
    if (!this.rules.loopback && [address, ...inner].some((each) => holds(this.#loopback, each)))
      throw forbidden(host, NOT_HERE);
    const isListed = (each: string) => holds(this.#listed, each);
    // If a translator or the kernel may forward to an embedded address, that address is checked;
    // for forbidden ranges both are.
    const [few = address, ...more] = inner;
    const allowed =
      this.rules.networks === undefined ? ![address, ...inner].some(isListed) : [few, ...more].every(isListed);
    if (allowed) return;
    throw forbidden(host, `the address ${address} is not allowed`);
  }
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    list.addSubnet(address, Number(bits), family(address));
  }
  return list;
}

function holds(list: BlockList, address: string): boolean {
  return list.check(address, family(address));
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

function forbidden(host: string, why: string): HostlerError {
  return new HostlerError('SOURCE_FORBIDDEN', `${host}: ${why}`, { facts: { host } });
}
