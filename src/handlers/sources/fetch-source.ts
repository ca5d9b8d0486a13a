/** The parsed source of a fetch; possible secrets are separated. */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { HEADERS, QUERY, TOKEN } from '../../domain/fetch/source.js';
import { address, orUnset } from '../fields.js';
import { contentQuery } from '../signed-query.js';
import type { Secrets } from '../../domain/model/secrets.js';
import type { SourceSpec } from '../../domain/model/image-source.js';

/** The configuration of sources. */
export interface SourceDefaults {
  /** Kinds of sources that are allowed; `http` and `https` are separate. */
  readonly schemes: readonly string[];
  readonly glanceEndpoint?: string;
}

/** A source and its secrets. */
export interface ParsedSource {
  readonly source: SourceSpec;
  readonly secrets: Secrets;
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that the daemon sets itself, or that would change the requested content. */
const OWN_HEADERS = [
  'range',
  'if-range',
  'host',
  'accept-encoding',
  'content-length',
  'transfer-encoding',
  'connection',
];

const headers = z.record(
  z
    .string()
    .regex(HEADER_NAME, 'must be the name of a header')
    .refine((name) => !OWN_HEADERS.includes(name.toLowerCase()), 'is a header that the daemon sends itself'),
  z.string().regex(HEADER_VALUE, 'must be the value of a header'),
);

const webAddress = z.string().transform((text, context): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const problem =
    text === ''
      ? 'required'
      : url === undefined || !['http:', 'https:'].includes(url.protocol)
        ? 'must be an http or https URL'
        : url.username !== '' || url.password !== ''
          ? 'must not hold a user or password: send them as a header'
          : undefined;
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  return problem === undefined && url !== undefined ? url : z.NEVER;
});

const bytesOf = (text: string) => Buffer.from(text, 'utf8');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const plain = (url: URL) => `${url.origin}${url.pathname}`;

/** The address of a list must not need a secret, so it may have no query. */
const listAddress = webAddress.superRefine((url, context) => {
  if (url.search !== '') context.addIssue({ code: 'custom', message: 'must not hold a query' });
});

interface HttpFields {
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly checksumUrl?: URL | undefined;
}

function httpSource({ url, headers: given, checksumUrl }: HttpFields): ParsedSource {
  const named = Object.keys(given).length > 0;
  const query =
    url.search === '' ? {} : { querySha256: sha256(url.search), contentQuerySha256: sha256(contentQuery(url.search)) };
  return {
    source: {
      ...{ kind: 'http', url: plain(url), headers: named, ...query },
      ...(checksumUrl === undefined ? {} : { checksumUrl: plain(checksumUrl) }),
    },
    secrets: {
      ...(named ? { [HEADERS]: bytesOf(JSON.stringify(given)) } : {}),
      ...(url.search === '' ? {} : { [QUERY]: bytesOf(url.search) }),
    },
  };
}

const uuid = z.uuid('must be a UUID').transform((id) => id.toLowerCase());

/** Service catalogues list the endpoint with or without the version of its API. */
function glanceServer(endpoint: URL): string {
  return plain(endpoint).replace(/(?:\/v2(?:\.\d{1,3})?)?\/?$/, '');
}

/** `oneof source`. */
export function sourceSchema({ schemes, glanceEndpoint }: SourceDefaults) {
  const glance = z
    .object({
      endpoint: z
        .string()
        .transform((text) => (text === '' ? (glanceEndpoint ?? '') : text))
        .pipe(webAddress),
      imageId: uuid,
      token: z.string().regex(HEADER_VALUE, 'must be the value of a header'),
    })
    .transform(({ endpoint, imageId, token }): ParsedSource => ({
      source: { kind: 'glance', endpoint: glanceServer(endpoint), imageId, token: token !== '' },
      secrets: token === '' ? {} : { [TOKEN]: bytesOf(token) },
    }));
  const file = z
    .object({ path: address })
    .transform(({ path }): ParsedSource => ({ source: { kind: 'file', path }, secrets: {} }));
  const http = z.object({ url: webAddress, headers, checksumUrl: orUnset(listAddress) }).transform(httpSource);
  // By the field names of the message.
  const byName = z.preprocess(
    (given) => {
      const { $case, value } = oneof.parse(given).source;
      return { [$case]: value };
    },
    z.object({ http: http.optional(), file: file.optional(), glance: glance.optional() }),
  );
  return byName.transform(({ http: web, file: here, glance: image }, context): ParsedSource => {
    const kind = here === undefined ? (image === undefined ? undefined : 'glance') : 'file';
    if (kind !== undefined && !schemes.includes(kind))
      context.addIssue({ code: 'custom', path: [kind], message: 'is not among fetch.allowed_schemes' });
    const parsedSource = web ?? here ?? image;
    if (parsedSource === undefined)
      context.addIssue({ code: 'custom', message: 'one of http, file and glance is required' });
    return parsedSource ?? z.NEVER;
  });
}

/** A oneof of the generated code; an absent one has the case `none`. */
const oneof = z
  .object({ source: z.object({ $case: z.string(), value: z.unknown() }) })
  .catch({ source: { $case: 'none', value: undefined } });
