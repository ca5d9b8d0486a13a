/** The names of a certificate's holder. */
import type { PeerCertificate } from 'node:tls';

/**
 * Typed, so that a common name cannot be taken for a host name: `uri:spiffe://cloud/scheduler`,
 * `dns:host-b.example`, `cn:alice`.
 */
export type CertificateNames = { readonly names: readonly string[] } | { readonly problem: string };

/** A name goes into logs, journals and request-id scopes. */
const MAX_NAME = 255;
/**
 * NUL and other control characters can end or hide a name in other programs; a wildcard identifies
 * no single holder.
 */
const FORBIDDEN = /[\p{Cc}\p{Zl}\p{Zp}*\uFFFD]/u;

/**
 * The names of a certificate whose chain was verified, in order of precedence: URIs, then DNS
 * names, then, without either, the common name. One invalid name makes the whole certificate
 * invalid.
 */
export function certificateNames(certificate: Pick<PeerCertificate, 'subject' | 'subjectaltname'>): CertificateNames {
  const alternatives = splitAlternatives(certificate.subjectaltname ?? '');
  const of = (kind: string, prefix: string) =>
    alternatives.flatMap((each) => (each.kind === kind ? [`${prefix}:${each.value}`] : []));
  // Despite its type, a subject with several common names is an array.
  const common: unknown = Object.entries(certificate.subject).find(([key]) => key === 'CN')?.[1];
  const own = [...of('URI', 'uri'), ...of('DNS', 'dns').map((name) => name.toLowerCase())];
  const names =
    own.length > 0 ? own : [common].flat().flatMap((name) => (typeof name === 'string' ? [`cn:${name}`] : []));
  if (names.length === 0) return { problem: 'it names nobody: neither a URI, nor a DNS name, nor a common name' };
  if (names.some((name) => FORBIDDEN.test(name)))
    return { problem: 'one of its names has a wildcard, a NUL or another control character' };
  if (names.some((name) => name.length > MAX_NAME || name.endsWith(':')))
    return { problem: `one of its names is empty or longer than ${String(MAX_NAME)} characters` };
  return { names };
}

/**
 * `DNS:a, URI:"quo\u002cted"`: node quotes, as JSON, every value that could be mistaken for more
 * than one (CVE-2021-44532).
 */
function splitAlternatives(text: string): { readonly kind: string; readonly value: string }[] {
  return [...text.matchAll(/(?:^|, )([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)/gs)].map(([, kind = '', value = '']) => ({
    kind,
    value: value.startsWith('"') ? unquote(value) : value,
  }));
}

function unquote(text: string): string {
  const value: unknown = JSON.parse(text);
  return typeof value === 'string' ? value : text;
}
