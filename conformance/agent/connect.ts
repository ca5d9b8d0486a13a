/** How a caller reaches an agent: an address, and with mutual TLS three files. */
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { Client, credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { Agent } from './agent.js';

export interface Access {
  /** `unix:///PATH`, `tcp://HOST:PORT` or HOST:PORT. */
  readonly address: string;
  /** Unset: no TLS. */
  readonly tls?: TlsFiles;
}

export interface TlsFiles {
  readonly ca: string;
  /** Unset: the caller shows no certificate. */
  readonly own?: { readonly cert: string; readonly key: string };
}

/** An address or file that cannot be used. */
export class AccessError extends Error {
  override readonly name = 'AccessError';
}

/** Opens no connection yet: the first call does. Fails with AccessError. */
export async function connect({ address, tls }: Access, run: string): Promise<Agent> {
  const target = address.startsWith('tcp://') ? address.slice('tcp://'.length) : address;
  if (!/^unix:\/\/\/.|^[^/]+:\d{1,5}$/.test(target))
    throw new AccessError(`${address}: must be unix:///PATH or tcp://HOST:PORT`);
  if (tls !== undefined && target.startsWith('unix:')) throw new AccessError('unix sockets do not speak TLS');
  const proof = tls === undefined ? credentials.createInsecure() : await proofOf(tls);
  return new Agent(new Client(target, proof), run);
}

async function proofOf(files: TlsFiles): Promise<ChannelCredentials> {
  try {
    const { ca, own } = files;
    const proof = own === undefined ? {} : { cert: await readFile(own.cert), key: await readFile(own.key) };
    const context = createSecureContext({ ca: await readFile(ca), ...proof, minVersion: 'TLSv1.3' });
    return credentials.createFromSecureContext(context);
  } catch (error) {
    throw new AccessError(`the TLS files: ${error instanceof Error ? error.message : String(error)}`);
  }
}
