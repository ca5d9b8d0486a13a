/** Parts of a query that say who may ask, and until when; they change with each signature, the content does not. */

interface Scheme {
  /** With it the query is signed; the parts mean something else without it. */
  readonly signature: string;
  readonly parts: RegExp;
}

/** In small letters. */
const SCHEMES: readonly Scheme[] = [
  // S3 and what speaks its language; Google; Alibaba.
  { signature: 'x-amz-signature', parts: /^x-amz-/ },
  { signature: 'x-goog-signature', parts: /^x-goog-/ },
  { signature: 'x-oss-signature', parts: /^x-oss-/ },
  // Their older ones, and CloudFront.
  {
    signature: 'signature',
    parts: /^(?:signature|expires|awsaccesskeyid|googleaccessid|ossaccesskeyid|policy|key-pair-id)$/,
  },
  // Shared access signatures of Azure.
  { signature: 'sig', parts: /^(?:sig|se|sp|sv|sr|st|spr|sip|skoid|sktid|skt|ske|sks|skv|ss|srt)$/ },
  // Temporary URLs of Swift.
  { signature: 'temp_url_sig', parts: /^temp_url_(?:sig|expires)$/ },
  // Tencent.
  { signature: 'q-signature', parts: /^q-/ },
];

/** The query without its signature; a query that is not signed is all content. */
export function contentQuery(search: string): string {
  const parts = search.replace(/^\?/, '').split('&');
  const names = parts.map((part) => (part.split('=')[0] ?? '').toLowerCase());
  const signed = SCHEMES.filter(({ signature }) => names.includes(signature));
  return parts.filter((_, n) => !signed.some((scheme) => scheme.parts.test(names[n] ?? ''))).join('&');
}
