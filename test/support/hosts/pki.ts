/**
 * Certificates as no sensible authority makes them: expired, not yet valid, with names that mean to
 * deceive.
 */
import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { webcrypto } from 'node:crypto';
import { join } from 'node:path';
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
  cryptoProvider,
  type JsonGeneralName,
} from '@peculiar/x509';
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { createSecureContext, type SecureVersion } from 'node:tls';
import { initAuthority, issueCertificate } from '../../../src/protocol/certificate-authority.js';

cryptoProvider.set(webcrypto);
export { ExtendedKeyUsage };

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface Oddity {
  readonly cn?: string;
  readonly names?: readonly JsonGeneralName[];
  /** Days from now. */
  readonly from?: number;
  readonly to?: number;
  readonly usage?: ExtendedKeyUsage;
  /** No authority vouches for it. */
  readonly selfSigned?: boolean;
}

export class Pki {
  private constructor(readonly folder: string) {}

  static async init(folder: string): Promise<Pki> {
    await initAuthority(folder, 30);
    return new Pki(folder);
  }

  /** An ordinary certificate. */
  async issue(
    kind: 'server' | 'agent' | 'client',
    name: string,
    more: { dns?: string[]; ip?: string[]; uri?: string[]; days?: number } = {},
  ): Promise<void> {
    await issueCertificate(this.folder, { kind, name, dns: [], ip: [], uri: [], days: 20, ...more });
  }

  /** NAME.pem and NAME.key with whatever is asked for. */
  async oddity(
    name: string,
    { cn = name, names, from = -1, to = 20, usage, selfSigned = false }: Oddity,
  ): Promise<void> {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.create({
      notBefore: new Date(Date.now() + from * DAY_MS),
      notAfter: new Date(Date.now() + to * DAY_MS),
      subject: [{ CN: [cn] }],
      issuer: selfSigned ? [{ CN: [cn] }] : this.#authority().subjectName,
      publicKey: keys.publicKey,
      signingKey: selfSigned ? keys.privateKey : await this.#signingKey(),
      signingAlgorithm: ALGORITHM,
      extensions: [
        new ExtendedKeyUsageExtension([usage ?? ExtendedKeyUsage.clientAuth]),
        ...(names === undefined ? [] : [new SubjectAlternativeNameExtension([...names])]),
      ],
    });
    const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    await writeFile(this.path(`${name}.pem`), certificate.toString('pem'));
    await writeFile(this.path(`${name}.key`), `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`);
    await chmod(this.path(`${name}.key`), 0o600);
  }

  /** crl.pem with the certificates of these names. */
  async revoke(...names: readonly string[]): Promise<void> {
    const crl = await X509CrlGenerator.create({
      issuer: this.#authority().subject,
      thisUpdate: new Date(Date.now() - DAY_MS),
      nextUpdate: new Date(Date.now() + DAY_MS),
      signingKey: await this.#signingKey(),
      signingAlgorithm: ALGORITHM,
      entries: names.map((name) => ({
        serialNumber: new X509Certificate(readFileSync(this.path(`${name}.pem`), 'utf8')).serialNumber,
        revocationDate: new Date(Date.now() - DAY_MS),
      })),
    });
    await writeFile(this.path('crl.pem'), crl.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL'));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** What a client shows; no name: nothing. */
  proof(name?: string, { ca = this.folder, maxVersion }: { ca?: string; maxVersion?: SecureVersion } = {}) {
    return proofOf({
      ca: readFileSync(join(ca, 'ca.pem')),
      ...(name === undefined
        ? {}
        : { cert: readFileSync(this.path(`${name}.pem`)), key: readFileSync(this.path(`${name}.key`)) }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
    });
  }

  /** The `[tls]` table of a daemon. */
  toml(server = 'server'): string {
    return `[tls]\nca = "${this.path('ca.pem')}"\ncert = "${this.path(`${server}.pem`)}"\nkey = "${this.path(`${server}.key`)}"\n`;
  }

  #authority(): X509Certificate {
    return new X509Certificate(readFileSync(this.path('ca.pem'), 'utf8'));
  }

  #signingKey(): Promise<webcrypto.CryptoKey> {
    const pem = readFileSync(this.path('ca.key'), 'utf8');
    const der = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ''), 'base64');
    return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  }
}

function proofOf(context: Parameters<typeof createSecureContext>[0]): ChannelCredentials {
  return credentials.createFromSecureContext(createSecureContext(context));
}
