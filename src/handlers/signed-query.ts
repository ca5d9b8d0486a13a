/**
 * The parts of a query that form a signature; they change with each signature, while the content
 * stays the same.
 */

interface Scheme {
  /**
   * A query without one of these is signed in another way, or not at all: the parts may then
   * identify the content.
   */
  readonly all: readonly string[];
  /** Optional parts of the signature. */
  readonly more?: readonly string[];
}

const v4 = (prefix: string) =>
  ['algorithm', 'credential', 'date', 'expires', 'signedheaders', 'signature'].map((name) => `${prefix}${name}`);

const AZURE = ['se', 'sp', 'st', 'spr', 'sip', 'skoid', 'sktid', 'skt', 'ske', 'sks', 'skv'];

/**
 * In lower case. Parameters that change the content (`x-oss-process`, `response-content-type`) are
 * in none of them.
 */
const SCHEMES: readonly Scheme[] = [
  // S3 and compatible stores; Google; Alibaba.
  { all: v4('x-amz-'), more: ['x-amz-security-token'] },
  { all: v4('x-goog-') },
  {
    all: ['x-oss-signature-version', 'x-oss-credential', 'x-oss-date', 'x-oss-expires', 'x-oss-signature'],
    more: ['x-oss-security-token', 'x-oss-additional-headers'],
  },
  // The older signatures of these.
  { all: ['awsaccesskeyid', 'expires', 'signature'], more: ['x-amz-security-token'] },
  { all: ['googleaccessid', 'expires', 'signature'] },
  { all: ['ossaccesskeyid', 'expires', 'signature'], more: ['security-token'] },
  // CloudFront.
  { all: ['key-pair-id', 'signature', 'expires'] },
  { all: ['key-pair-id', 'signature', 'policy'] },
  // Shared access signatures of Azure, for a resource and for an account.
  { all: ['sv', 'sr', 'sig'], more: AZURE },
  { all: ['sv', 'ss', 'srt', 'sig'], more: AZURE },
  // Temporary URLs of Swift.
  { all: ['temp_url_sig', 'temp_url_expires'] },
  // Tencent.
  {
    all: ['q-sign-algorithm', 'q-ak', 'q-sign-time', 'q-key-time', 'q-header-list', 'q-url-param-list', 'q-signature'],
    more: ['x-cos-security-token'],
  },
];

/**
 * The query without its signature. A query that is not signed in a known way, with all parts of the
 * signature and each part once, counts as content: fetching an image twice is better than taking
 * the wrong image.
 */
export function contentQuery(search: string): string {
  const parts = search.replace(/^\?/, '').split('&');
  const names = parts.map((part) => (part.split('=')[0] ?? '').toLowerCase());
  const once = (name: string) => names.indexOf(name) >= 0 && names.indexOf(name) === names.lastIndexOf(name);
  const [scheme, second] = SCHEMES.filter(({ all }) => all.every(once));
  if (scheme === undefined || second !== undefined) return parts.join('&');
  const own = [...scheme.all, ...(scheme.more ?? []).filter(once)];
  return parts.filter((_, n) => !own.includes(names[n] ?? '')).join('&');
}
