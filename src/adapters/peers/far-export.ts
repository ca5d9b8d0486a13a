/**
 * A peer's answer about an export, checked before it is used: parts of it become options of a tool.
 */
import { BlockList, isIP } from 'node:net';
import type { FarExport } from '../../domain/copy/agents.js';
import { HostlerError } from '../../domain/model/errors.js';
import { MAX_SIZE_BYTES } from '../../domain/model/size.js';
import type { OpenExportResponse } from '../../gen/hostler/v1/image_service.js';

const NAME = /^[A-Za-z0-9_-]{1,128}$/;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const PLACE = /^(.*):([0-9]{1,5})$/;
const [MAX_PORT, MAX_KEY_BYTES, MAX_FINGERPRINT] = [65_535, 256, 256];

/** A peer, and where its exports may be served. */
export interface ExportingPeer {
  readonly host: string;
  /** HOST:PORT */
  readonly address: string;
  /** The address and port of the connection to the peer. */
  readonly connected: string;
  /** CIDR ranges in which it may serve exports, in addition to its own address. */
  readonly exportNetworks: readonly string[];
}

/**
 * Whether the daemon may connect to an address that the peer named: only the peer's own address, or
 * one in the configured ranges.
 */
function isPlaceOf(host: string, { address, connected, exportNetworks }: ExportingPeer): boolean {
  if (host === hostOf(address)) return true;
  if (isIP(host) === 0) return false;
  const places = new BlockList();
  const asked = hostOf(connected);
  if (isIP(asked) !== 0) places.addAddress(asked, family(asked));
  for (const range of exportNetworks) {
    const [network = '', bits] = range.split('/');
    places.addSubnet(network, Number(bits), family(network));
  }
  return places.check(host, family(host));
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** The host of HOST:PORT, without the brackets of IPv6. */
function hostOf(place: string): string {
  return plain(place.slice(0, place.lastIndexOf(':')));
}

/** Fails with REMOTE_UNREACHABLE if it is not a valid answer of an agent. */
export function exportOf(
  { address, exportId, key, lengthBytes, fingerprint }: OpenExportResponse,
  peer: ExportingPeer,
): FarExport {
  const [, given = '', digits = ''] = PLACE.exec(address) ?? [];
  const host = given === '' ? hostOf(peer.address) : plain(given);
  const port = Number(digits);
  const wrong = Object.entries({
    address: port < 1 || port > MAX_PORT || (isIP(host) === 0 && !HOST_NAME.test(host)) || !isPlaceOf(host, peer),
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

/** For an answer that no agent sends: no part of it is used. */
export function nonsense(host: string, what: string): HostlerError {
  return new HostlerError('REMOTE_UNREACHABLE', `${host} does not answer as an agent does: ${what}`, {
    facts: { host },
  });
}
