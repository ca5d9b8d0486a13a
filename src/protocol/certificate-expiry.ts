import { X509Certificate } from 'node:crypto';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * When the first of the certificates in a PEM file expires, in seconds since 1970. Fails if one of
 * them is not a certificate.
 */
export function expiryOf(pem: Buffer): number {
  const times = (pem.toString('latin1').match(CERTIFICATE) ?? []).map((text) =>
    Date.parse(new X509Certificate(text).validTo),
  );
  return Math.min(...times) / 1000;
}
