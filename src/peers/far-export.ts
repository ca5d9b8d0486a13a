/** What another agent answers about an export, checked before anything relies on it: parts of it become options of a tool. */
import { isIP } from 'node:net';
import type { FarExport } from '../domain/copy/agents.js';
import { HostlerError } from '../domain/errors.js';
import { MAX_SIZE_BYTES } from '../domain/size.js';
import type { OpenExportResponse } from '../gen/hostler/v1/image_service.js';

const NAME = /^[A-Za-z0-9_-]{1,128}$/;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const PLACE = /^(.*):([0-9]{1,5})$/;
const [MAX_PORT, MAX_KEY_BYTES, MAX_FINGERPRINT] = [65_535, 256, 256];

/** Fails with REMOTE_UNREACHABLE when it is not what an agent answers. */
export function exportOf(
  { address, exportId, key, lengthBytes, fingerprint }: OpenExportResponse,
  peer: { readonly host: string; readonly address: string },
): FarExport {
  const [, given = '', digits = ''] = PLACE.exec(address) ?? [];
  const host = (given === '' ? peer.address.slice(0, peer.address.lastIndexOf(':')) : given).replaceAll(/[[\]]/g, '');
  const port = Number(digits);
  const wrong = Object.entries({
    address: port < 1 || port > MAX_PORT || (isIP(host) === 0 && !HOST_NAME.test(host)),
    export_id: !NAME.test(exportId),
    key: key.length === 0 || key.length > MAX_KEY_BYTES,
    length_bytes: lengthBytes > MAX_SIZE_BYTES,
    fingerprint: fingerprint === '' || fingerprint.length > MAX_FINGERPRINT || !fingerprint.isWellFormed(),
  }).flatMap(([field, isWrong]) => (isWrong ? [field] : []));
  if (wrong.length > 0) throw nonsense(peer.host, `an export without a usable ${wrong.join(', ')}`);
  return { place: { host, port, key }, name: exportId, lengthBytes, fingerprint };
}

/** What no agent sends: nothing of it is used. */
export function nonsense(host: string, what: string): HostlerError {
  return new HostlerError('REMOTE_UNREACHABLE', `${host} does not answer as an agent does: ${what}`, {
    facts: { host },
  });
}
