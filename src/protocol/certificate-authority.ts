/**
 * A small certificate authority in a folder, for tests. Production systems use a CA of their own.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
  cryptoProvider,
  type JsonGeneralName,
} from '@peculiar/x509';
import { whyRefused } from '../domain/model/own-files.js';
import { makeFolder } from '../file-io/make-folder.js';

cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Allows for small differences between clocks. */
const BACKDATED_MS = 60_000;
const SERIAL_BYTES = 16;

/** An agent serves and calls other agents; a server only serves, a client only calls. */
export type CertificateKind = 'server' | 'agent' | 'client';

export interface CertificateOrder {
  readonly kind: CertificateKind;
  /** Of the files NAME.pem and NAME.key; also the common name. */
  readonly name: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uri: readonly string[];
  readonly days: number;
}

/** A problem with a message for the user of the command. */
export class CertificateProblem extends Error {
  override readonly name = 'CertificateProblem';
}

/** Creates ca.pem and ca.key in the folder. Fails with CertificateProblem if they exist already. */
export async function initAuthority(folder: string, days: number): Promise<string[]> {
  await makeFolder(folder, 0o700);
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validFor(days),
    serialNumber: newSerial(),
    name: [{ CN: ['Hostler authority for trying out'] }],
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return writePair(folder, 'ca', certificate.toString('pem'), keys.privateKey);
}

/**
 * Creates NAME.pem and NAME.key, signed by the folder's authority. Fails with CertificateProblem.
 */
export async function issueCertificate(folder: string, order: CertificateOrder): Promise<string[]> {
  const { certificate: authority, key: signingKey } = await readAuthority(folder);
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    ...validFor(order.days),
    serialNumber: newSerial(),
    subject: [{ CN: [order.name] }],
    issuer: authority.subjectName,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(usesOf(order.kind)),
      ...alternativeNames(order),
    ],
  });
  return writePair(folder, order.name, certificate.toString('pem'), keys.privateKey);
}

function usesOf(kind: CertificateKind): ExtendedKeyUsage[] {
  const [serves, calls] = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
  return { server: [serves], agent: [serves, calls], client: [calls] }[kind];
}

function alternativeNames({ dns, ip, uri }: CertificateOrder): SubjectAlternativeNameExtension[] {
  const names: JsonGeneralName[] = [
    ...uri.map((value) => ({ type: 'url' as const, value })),
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ip.map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)];
}

async function readAuthority(folder: string) {
  const read = (name: string) =>
    readFile(join(folder, name), 'utf8').catch((error: unknown) => {
      throw new CertificateProblem(
        `${join(folder, name)} cannot be read (${String(error)}): make an authority with hostler cert init ${folder}`,
      );
    });
  const certificate = new X509Certificate(await read('ca.pem'));
  const der = Buffer.from((await read('ca.key')).replaceAll(/-----[A-Z ]+-----|\s/g, ''), 'base64');
  return { certificate, key: await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) };
}

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function validFor(days: number) {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** Positive, as X.509 requires. */
function newSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8(bytes.readUInt8() & 0x7f);
  return bytes.toString('hex');
}

async function writePair(folder: string, name: string, certificate: string, privateKey: webcrypto.CryptoKey) {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${der.replaceAll(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
  const paths = [join(folder, `${name}.key`), join(folder, `${name}.pem`)] as const;
  await writeNew(paths[0], key, 0o600);
  await writeNew(paths[1], `${certificate}\n`, 0o644);
  return [...paths];
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((error: unknown) => {
    throw new CertificateProblem(
      error instanceof Error && 'code' in error && error.code === 'EEXIST'
        ? `${path} exists; it is not replaced`
        : `${path} cannot be made: ${whyRefused(error) ?? String(error)}`,
    );
  });
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
