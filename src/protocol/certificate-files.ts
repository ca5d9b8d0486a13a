/** Certificates and keys as files: read completely, and refused if they are not protected. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { whyRefused } from '../domain/model/own-files.js';

/** Only the owner and the group may read the key; the group may not change it. */
const TOO_OPEN = 0o027;

export interface TlsPaths {
  /** PEM: the CAs whose certificates are accepted. */
  readonly ca: string;
  /** PEM: the own certificate, with the intermediate ones. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
  /** PEM: revoked certificates. */
  readonly crl?: string;
}

export interface TlsFiles {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly crl?: Buffer;
}

/** Files that cannot be used; the message is for their owner. */
export class TlsFilesBroken extends Error {
  override readonly name = 'TlsFilesBroken';
}

/**
 * Fails with TlsFilesBroken: a file is missing, the key can be read by others or belongs to another
 * certificate, a certificate has expired.
 */
export async function readTlsFiles({ ca, cert, key, crl }: TlsPaths): Promise<TlsFiles> {
  const files = {
    ca: await read(ca),
    cert: await read(cert),
    key: await readKey(key),
    ...(crl === undefined ? {} : { crl: await read(crl) }),
  };
  certificateIn(files.ca, ca);
  const own = certificateIn(files.cert, cert);
  const now = Date.now();
  if (Date.parse(own.validTo) < now) throw new TlsFilesBroken(`${cert} expired on ${own.validTo}`);
  if (Date.parse(own.validFrom) > now) throw new TlsFilesBroken(`${cert} is not valid before ${own.validFrom}`);
  if (!own.checkPrivateKey(keyIn(files.key, key)))
    throw new TlsFilesBroken(`${key} is not the key of the certificate in ${cert}`);
  try {
    createSecureContext(files);
  } catch (error) {
    throw new TlsFilesBroken(`${[ca, cert, crl ?? ''].join(' ').trim()} cannot be used together: ${String(error)}`);
  }
  return files;
}

async function readKey(path: string): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => cannotRead(path, error));
  try {
    const stat = await file.stat().catch((error: unknown) => cannotRead(path, error));
    const mode = stat.mode & 0o777;
    if ((mode & TOO_OPEN) !== 0)
      throw new TlsFilesBroken(
        `the key ${path} has mode 0${mode.toString(8)}: others can read or change it; chmod 0600 ${path}`,
      );
    return await file.readFile().catch((error: unknown) => cannotRead(path, error));
  } finally {
    await file.close();
  }
}

async function read(path: string): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => cannotRead(path, error));
  try {
    return await file.readFile().catch((error: unknown) => cannotRead(path, error));
  } finally {
    await file.close();
  }
}

function cannotRead(path: string, error: unknown): never {
  throw new TlsFilesBroken(`${path} cannot be read: ${whyRefused(error) ?? String(error)}`, { cause: error });
}

/** The first certificate of a PEM file. */
function certificateIn(pem: Buffer, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new TlsFilesBroken(`${path} holds no certificate in PEM: ${String(error)}`);
  }
}

function keyIn(pem: Buffer, path: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's message about a broken key may quote it.
    throw new TlsFilesBroken(`${path} holds no private key in PEM, or one that is encrypted`);
  }
}
