/**
 * What OpenSSL and Node say of a TLS handshake that did not come about, and what it means. The
 * first that fits counts.
 */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/wrong version number|http request|packet length too long|record layer/, 'the client does not speak TLS'],
  [/unsupported protocol|version too low|alert protocol version|no shared cipher/, 'the client does not offer TLS 1.3'],
  [/alert unknown ca/, 'the client does not know the authority of our certificate'],
  [/alert (bad certificate|certificate (expired|unknown|revoked))/, 'the client does not accept our certificate'],
  [/ERR_TLS_HANDSHAKE_TIMEOUT/, 'the handshake took too long'],
  // Also what a client does that does not like our certificate and says nothing.
  [/ECONNRESET|EPIPE|socket hang up/, 'the client left during the handshake'],
];

/** Why a handshake did not come about, in a line. */
export function handshakeProblem(error: Error): string {
  const text = `${'code' in error ? String(error.code) : ''} ${error.message}`;
  return MEANINGS.find(([pattern]) => pattern.test(text))?.[1] ?? 'the handshake failed';
}
