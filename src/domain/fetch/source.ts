import type { Secrets } from '../model/secrets.js';
import type { SourceSpec, NetworkSource } from '../model/image-source.js';

/** Whether the source is on another host. */
export function isFarSource({ source }: { readonly source: SourceSpec }): boolean {
  return source.kind !== 'file';
}

/** Name of a secret of a source. */
export const QUERY = 'query';
export const HEADERS = 'headers';
export const TOKEN = 'token';

/** A secret as text; undefined if it was not given. */
export function secretText(secrets: Secrets, name: string): string | undefined {
  const secret = secrets[name];
  return secret === undefined ? undefined : Buffer.from(secret).toString('utf8');
}

/** The source as text without secrets. */
export function sourceText(source: SourceSpec): string {
  switch (source.kind) {
    case 'http':
      return source.url;
    case 'file':
      return source.path;
    case 'glance':
      return `${source.endpoint}/v2/images/${source.imageId}`;
  }
}

/**
 * The identity of a source, without signatures: those say who may have it, and are checked
 * separately.
 */
export function sourceIdentity(source: SourceSpec): string {
  const query = source.kind === 'http' ? (source.contentQuerySha256 ?? source.querySha256) : undefined;
  return `${source.kind}:${sourceText(source)}${query === undefined ? '' : `?${query}`}`;
}

/**
 * The source without the parts that differ between callers, such as a signature: the key of a
 * shared download. If a checksum identifies the content, the whole query is left out.
 */
export function forAllCallers(source: NetworkSource, hasChecksum: boolean): NetworkSource {
  if (source.kind === 'glance') return { ...source, token: false };
  const { querySha256, contentQuerySha256 = querySha256, ...same } = source;
  return {
    ...same,
    headers: false,
    ...(hasChecksum || contentQuerySha256 === undefined ? {} : { contentQuerySha256 }),
  };
}

/**
 * Whether the source may have admitted its caller because of secrets. Content that was received so
 * is given to another caller only if the source admits that caller too.
 */
export function isGuarded(secrets: Secrets): boolean {
  return [QUERY, HEADERS, TOKEN].some((name) => secrets[name] !== undefined);
}

/**
 * Whether it can be fetched without its caller: with what the journal and the configuration hold.
 */
export function needsNoSecrets(source: SourceSpec): boolean {
  if (source.kind === 'http') return !source.headers && source.querySha256 === undefined;
  return source.kind === 'file' || !source.token;
}
