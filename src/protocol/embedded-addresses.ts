import { isIPv6 } from 'node:net';

/** A form of IPv6 address that contains an IPv4 address. */
interface Form {
  /** Its first bytes. */
  readonly prefix: readonly number[];
  /** Positions of the bytes of the IPv4 address. */
  readonly at: readonly [number, number, number, number];
  /** All bits are inverted. */
  readonly turned?: true;
}

const zeros = (count: number) => Array<number>(count).fill(0);
const LAST = [12, 13, 14, 15] as const;
const NAT64 = [0x00, 0x64, 0xff, 0x9b];
const LOCAL_NAT64 = [...NAT64, 0x00, 0x01];

const FORMS: readonly Form[] = [
  // IPv4-mapped, and IPv4-compatible (RFC 4291, 2.5.5).
  { prefix: [...zeros(10), 0xff, 0xff], at: LAST },
  { prefix: zeros(12), at: LAST },
  // IPv4-translated (RFC 2765, 2.1).
  { prefix: [...zeros(8), 0xff, 0xff, 0, 0], at: LAST },
  // NAT64: well-known (RFC 6052), and local (RFC 8215) with each length of prefix that it has room
  // for: byte 8 is skipped.
  { prefix: [...NAT64, ...zeros(8)], at: LAST },
  { prefix: LOCAL_NAT64, at: LAST },
  { prefix: LOCAL_NAT64, at: [6, 7, 9, 10] },
  { prefix: LOCAL_NAT64, at: [7, 9, 10, 11] },
  { prefix: LOCAL_NAT64, at: [9, 10, 11, 12] },
  // 6to4 (RFC 3056), and Teredo's server and client (RFC 4380, 4).
  { prefix: [0x20, 0x02], at: [2, 3, 4, 5] },
  { prefix: [0x20, 0x01, 0, 0], at: [4, 5, 6, 7] },
  { prefix: [0x20, 0x01, 0, 0], at: LAST, turned: true },
];

/**
 * The IPv4 addresses to which an IPv6 address may lead; none for an IPv4 address. Fails with
 * TypeError on an invalid address.
 */
export function embeddedAddresses(address: string): readonly string[] {
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return [];
  const bytes = bytesOf(plain);
  // `::` and `::1` embed no IPv4 address.
  if (bytes.slice(0, 13).every((byte) => byte === 0)) return [];
  return FORMS.filter(({ prefix }) => prefix.every((byte, index) => bytes[index] === byte)).map(({ at, turned }) =>
    at.map((index) => (bytes[index] ?? 0) ^ (turned === true ? 0xff : 0)).join('.'),
  );
}

/** The sixteen bytes of an IPv6 address. */
function bytesOf(address: string): readonly number[] {
  // In the form of the URL standard: no dots, lower case, one `::` at most.
  const [before = '', after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const [head, tail] = [groups(before), groups(after ?? '')];
  const all =
    after === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return all.map((group) => Number.parseInt(group, 16)).flatMap((group) => [group >> 8, group & 0xff]);
}
