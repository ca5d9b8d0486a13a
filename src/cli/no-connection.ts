/** Why there is no connection to a daemon, and what to do, in a person's words. */

/** What grpc-js and OpenSSL say, and what it means. The first that fits counts. */
const MEANINGS: readonly (readonly [RegExp, string, string])[] = [
  [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    'the certificate of the daemon is for another name',
    'Use a name of the certificate in --address, or give the daemon a certificate for this one.',
  ],
  [
    /CERT_HAS_EXPIRED|certificate has expired/,
    'the certificate of the daemon has expired',
    'Give the daemon a new certificate.',
  ],
  [
    /CERT_NOT_YET_VALID|not yet valid/,
    'the certificate of the daemon is not valid yet',
    'Compare the clocks of the two hosts.',
  ],
  [
    /self.signed|unable to (verify|get)|certificate (signature failure|chain)|UNABLE_TO|unknown ca/i,
    'the certificate of the daemon is from another authority than --tls-ca names',
    'Name the authority of the daemon with --tls-ca.',
  ],
  [
    /wrong version number|packet length too long|http request/,
    'the daemon does not speak TLS on this address',
    'Leave out the --tls options, or name the address that has TLS.',
  ],
  [
    /alert (certificate required|bad certificate|unknown ca)|handshake failure/,
    'the daemon does not accept the certificate of this client',
    'Use a certificate of the authority that the daemon knows.',
  ],
  [
    /\bENOENT\b/,
    'there is no such socket',
    'Start hostlerd, or name another address with --address or HOSTLER_ADDRESS.',
  ],
  [/\bEACCES\b/, 'this user may not write to the socket', 'Run the command as a user or group that owns the socket.'],
  [
    /\bENOTFOUND\b|\bEAI_AGAIN\b|Name resolution failed/,
    'the name of the host is not known',
    'Check the name in --address.',
  ],
  [
    /\bECONNREFUSED\b/,
    'nothing listens there',
    'Start hostlerd, or name another address with --address or HOSTLER_ADDRESS.',
  ],
  [/\bE(HOSTUNREACH|NETUNREACH|TIMEDOUT)\b/, 'the host cannot be reached', 'Check the network between the two hosts.'],
];

/** One line for what happened, one for what to do. */
export function explainNoConnection(details: string, address: string): string {
  const [, what, advice] = MEANINGS.find(([pattern]) => pattern.test(details)) ?? fallback(details);
  return `hostler: no connection to ${address}: ${what}\n  ${advice}`;
}

function fallback(details: string): readonly [RegExp, string, string] {
  const [, last] = /Last error: (?:Error: )?(.*?)(?:\. Resolution note|$)/s.exec(details) ?? [];
  // What grpc-js says when the other side closes before it has said a word, as a port with TLS does
  // to a client without.
  if (last === undefined || /^Failed to connect|\bECONNRESET\b|\bEPIPE\b/.test(last))
    return [
      /(?:)/,
      'the connection was closed before it said a word',
      'If the address has TLS, give --tls-ca, --tls-cert and --tls-key; if not, look into the log of hostlerd.',
    ];
  return [/(?:)/, last.trim(), 'Start hostlerd, or name another address with --address or HOSTLER_ADDRESS.'];
}
