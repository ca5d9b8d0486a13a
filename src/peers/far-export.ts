/** What another agent answers about an export, checked before anything relies on it: parts of it become options of a tool. */
import { BlockList, isIP } from 'node:net';
import { embeddedAddresses } from '../wire/embedded-addresses.js';
import type { FarExport } from '../domain/copy/agents.js';
import { HostlerError } from '../domain/errors.js';
import { MAX_SIZE_BYTES } from '../domain/size.js';
import type { OpenExportResponse } from '../gen/hostler/v1/image_service.js';

const NAME = /^[A-Za-z0-9_-]{1,128}$/;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const PLACE = /^(.*):([0-9]{1,5})$/;
const [MAX_PORT, MAX_KEY_BYTES, MAX_FINGERPRINT] = [65_535, 256, 256];

/** The host itself, nobody, links without a router: no far agent serves anything there for us. */
const NOT_ELSEWHERE = new BlockList();
for (const [network, prefix, family] of [
  ['0.0.0.0', 8, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['::', 127, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
] as const)
  NOT_ELSEWHERE.addSubnet(network, prefix, family);

/**
 * Whether we may connect there because a peer says so: to where it is asked itself, or to another address of the network, by number,
 * so that no name leads elsewhere.
 */
function isForeign(host: string, peer: string): boolean {
  if (host === peer) return false;
  if (isIP(host) === 0) return true;
  return [host, ...embeddedAddresses(host)].some((each) =>
    NOT_ELSEWHERE.check(each, isIP(each) === 6 ? 'ipv6' : 'ipv4'),
  );
}

/** Fails with REMOTE_UNREACHABLE when it is not what an agent answers. */
export function exportOf(
  { address, exportId, key, lengthBytes, fingerprint }: OpenExportResponse,
  peer: { readonly host: string; readonly address: string },
): FarExport {
  const [, given = '', digits = ''] = PLACE.exec(address) ?? [];
  const own = plain(peer.address.slice(0, peer.address.lastIndexOf(':')));
  const host = given === '' ? own : plain(given);
  const port = Number(digits);
  const wrong = Object.entries({
    address: port < 1 || port > MAX_PORT || (isIP(host) === 0 && !HOST_NAME.test(host)) || isForeign(host, own),
    export_id: !NAME.test(exportId),
    key: key.length === 0 || key.length > MAX_KEY_BYTES,
    length_bytes: lengthBytes > MAX_SIZE_BYTES,
    fingerprint: fingerprint === '' || fingerprint.length > MAX_FINGERPRINT || !fingerprint.isWellFormed(),
  }).flatMap(([field, isWrong]) => (isWrong ? [field] : []));
  if (wrong.length > 0) throw nonsense(peer.host, `an export without a usable ${wrong.join(', ')}`);
  return { place: { host, port, key }, name: exportId, lengthBytes, fingerprint };
}

/** An address without the brackets of IPv6. */
function plain(host: string): string {
  return host.replaceAll(/[[\]]/g, '');
}

/** What no agent sends: nothing of it is used. */
export function nonsense(host: string, what: string): HostlerError {
  return new HostlerError('REMOTE_UNREACHABLE', `${host} does not answer as an agent does: ${what}`, {
    facts: { host },
  });
}
