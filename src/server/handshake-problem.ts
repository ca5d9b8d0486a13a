/**
 * Messages of OpenSSL and Node about a failed TLS handshake, and their meaning. The first match
 * counts.
 */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/http request/, 'the client speaks HTTP/1 without TLS; this address takes gRPC with TLS'],
  [/wrong version number|packet length too long|record layer/, 'the client does not speak TLS'],
  [/unsupported protocol|version too low|alert protocol version|no shared cipher/, 'the client does not offer TLS 1.3'],
  [/no application protocol/, 'the client does not offer HTTP/2'],
  [/alert unknown ca/, 'the client does not know the authority of our certificate'],
  [/alert decrypt error/, 'the client does not accept our certificate: its authority has not signed it'],
  [/alert certificate expired/, 'the client does not accept our certificate: it has expired'],
  [/alert (bad certificate|certificate (unknown|revoked))/, 'the client does not accept our certificate'],
  [/ERR_TLS_HANDSHAKE_TIMEOUT/, 'the handshake took too long'],
  [
    /ECONNRESET|EPIPE|socket hang up/,
    'the client left during the handshake, as one does that does not accept our certificate',
  ],
];

/** Why a handshake failed, in one line. */
export function handshakeProblem(error: Error): string {
  const text = `${'code' in error ? String(error.code) : ''} ${error.message}`;
  return MEANINGS.find(([pattern]) => pattern.test(text))?.[1] ?? 'the handshake failed';
}

/** Node's codes for problems of a certificate, and their meaning. */
const CERTIFICATE_MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/^CERT_HAS_EXPIRED$/, 'it has expired'],
  [/^CERT_NOT_YET_VALID$/, 'it is not valid yet'],
  [/^CERT_REVOKED$/, 'it was revoked'],
  [/^INVALID_PURPOSE$/, 'it is not for clients'],
  [/^CERT_SIGNATURE_FAILURE$|^UNABLE_TO_|SELF_SIGNED/, 'this daemon does not know its authority'],
];

/** Why a certificate is not accepted: in words if there are some, and by Node's code. */
export function certificateProblem(name: string): string {
  const meaning = CERTIFICATE_MEANINGS.find(([pattern]) => pattern.test(name))?.[1];
  return meaning === undefined ? name : `${meaning} (${name})`;
}
