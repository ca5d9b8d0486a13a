import type { Arg } from './tool-call.js';

/** Forced: the default is a third slower, and the cipher's hardware is in every processor that runs guests. */
const PRIORITY = 'NORMAL:-CIPHER-ALL:+AES-128-GCM';
const USER = 'hostler';

/** TLS with a pre-shared key, as the object `tls` of a qemu tool. qemu wants a folder with the key in a file of its own format. */
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

/** Where an export is. */
export interface NbdPlace {
  readonly host: string;
  readonly port: number;
  readonly name: string;
}

/** A stretch of the far bytes, over TLS. */
export function nbdOptions(
  { host, port, name }: NbdPlace,
  stretch: { readonly from: bigint; readonly to: bigint },
): string {
  const part = `,offset=${String(stretch.from)},size=${String(stretch.to - stretch.from)}`;
  return `driver=raw${part},file.driver=nbd,file.server.type=inet,file.server.host=${host},file.server.port=${String(port)},file.export=${name},file.tls-creds=tls`;
}
