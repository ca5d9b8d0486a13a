import type { Secrets } from '../model/secrets.js';
import type { SourceSpec, NetworkSource } from '../model/image-source.js';

/** Whether another host sends it. */
export function isFarSource({ source }: { readonly source: SourceSpec }): boolean {
  return source.kind !== 'file';
}

/** What the secrets of a source are called. */
export const QUERY = 'query';
export const HEADERS = 'headers';
export const TOKEN = 'token';

/** A secret as text; undefined when it was not given. */
export function secretText(secrets: Secrets, name: string): string | undefined {
  const secret = secrets[name];
  return secret === undefined ? undefined : Buffer.from(secret).toString('utf8');
}

/** The source in words that may be shown to anybody. */
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

/** What makes two sources one: a signature says who may have it, and is asked for besides. */
export function sourceIdentity(source: SourceSpec): string {
  const query = source.kind === 'http' ? (source.contentQuerySha256 ?? source.querySha256) : undefined;
  return `${source.kind}:${sourceText(source)}${query === undefined ? '' : `?${query}`}`;
}

/**
 * The same source without what tells callers apart, such as a signature: what is fetched for all
 * who ask for it. Where a checksum says what the content is, no part of a query does.
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
 * Whether a source may have let its caller in by what that caller alone knows. What came so is
 * given to others only when the source, asked with what they know, lets them in too.
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
