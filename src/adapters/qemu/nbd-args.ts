import type { NbdPlace } from '../../domain/copy/agents.js';
import type { Arg, Reference } from '../process/tool-call.js';

/**
 * Set explicitly: the default cipher is a third slower, and every processor that runs guests has
 * AES instructions.
 */
const PRIORITY = 'NORMAL:-CIPHER-ALL:+AES-128-GCM';
const USER = 'hostler';

/**
 * For tools that speak NBD: keeps buffers of 2 MiB in the process between requests. Otherwise the C
 * library returns each to the kernel, which clears the pages of the next: a sixth of the processor
 * time of a dense copy.
 */
export const NBD_ENV = { MALLOC_MMAP_THRESHOLD_: String(32 << 20), MALLOC_TRIM_THRESHOLD_: String(256 << 20) };

/**
 * TLS with a pre-shared key, as the object `tls` of a qemu tool. qemu needs a folder with the key
 * in a file of its own format.
 */
export function pskObject(endpoint: 'client' | 'server', key: Uint8Array): Arg[] {
  const user = endpoint === 'client' ? `,username=${USER}` : '';
  const file = Buffer.from(`${USER}:${Buffer.from(key).toString('hex')}\n`);
  return [
    '--object',
    [
      `tls-creds-psk,id=tls,endpoint=${endpoint}${user},priority=${PRIORITY},dir=`,
      { secret: file, within: 'keys.psk' },
    ],
  ];
}

/** Options by which qemu opens an export, or a range of it. */
export function nbdOptions(
  place: NbdPlace,
  name: string,
  range?: { readonly from: bigint; readonly to: bigint },
): readonly (string | Reference)[] {
  const part = range === undefined ? '' : `,offset=${String(range.from)},size=${String(range.to - range.from)}`;
  const node = `driver=raw${part},file.driver=nbd,file.export=${name},file.server.type=`;
  if ('socket' in place) return [`${node}unix,file.server.path=`, { read: place.socket }];
  return [`${node}inet,file.server.host=${place.host},file.server.port=${String(place.port)},file.tls-creds=tls`];
}

/** The additional objects that a client needs. */
export function credentials(place: NbdPlace): Arg[] {
  return 'socket' in place ? [] : pskObject('client', place.key);
}
