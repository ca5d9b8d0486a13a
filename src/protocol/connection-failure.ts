/**
 * Why a client has no connection to a daemon, by the errors of grpc-js. Has no other dependency, so
 * that any client in TypeScript can use it.
 */

/** Each reason with its gRPC code. */
export const CONNECTION_REASONS = {
  NO_ANSWER: 'UNAVAILABLE',
  HOST_UNKNOWN: 'UNAVAILABLE',
  HOST_UNREACHABLE: 'UNAVAILABLE',
  HUNG_UP: 'UNAVAILABLE',
  CONNECTION_LOST: 'UNAVAILABLE',
  SOCKET_NOT_ALLOWED: 'PERMISSION_DENIED',
  SERVER_NAME_DIFFERS: 'UNAUTHENTICATED',
  SERVER_CERTIFICATE_EXPIRED: 'UNAUTHENTICATED',
  SERVER_CERTIFICATE_NOT_YET_VALID: 'UNAUTHENTICATED',
  SERVER_AUTHORITY_UNKNOWN: 'UNAUTHENTICATED',
  CLIENT_CERTIFICATE_REFUSED: 'UNAUTHENTICATED',
  NO_TLS_THERE: 'FAILED_PRECONDITION',
  NO_GRPC_THERE: 'FAILED_PRECONDITION',
  RPC_UNKNOWN: 'UNIMPLEMENTED',
} as const;
export type ConnectionReason = keyof typeof CONNECTION_REASONS;

export interface ConnectionFailure {
  readonly reason: ConnectionReason;
  /** What happened, as the rest of a sentence that begins with "no connection to ADDRESS: ". */
  readonly what: string;
}

/** An error of grpc-js without a status of a daemon. */
export interface BareError {
  readonly code: number;
  readonly details: string;
}

const [UNIMPLEMENTED, UNAVAILABLE] = [12, 14];

/** Messages of grpc-js, Node and OpenSSL about connections. The first match counts. */
const MEANINGS: readonly (readonly [RegExp, ConnectionReason, string])[] = [
  [/ERR_TLS_CERT_ALTNAME_INVALID/, 'SERVER_NAME_DIFFERS', 'the certificate of the daemon is for another name'],
  [
    /CERT_HAS_EXPIRED|certificate has expired/,
    'SERVER_CERTIFICATE_EXPIRED',
    'the certificate of the daemon has expired',
  ],
  [
    /CERT_NOT_YET_VALID|not yet valid/,
    'SERVER_CERTIFICATE_NOT_YET_VALID',
    'the certificate of the daemon is not valid yet',
  ],
  [
    /alert (?:certificate required|bad certificate|unknown ca)|handshake failure/,
    'CLIENT_CERTIFICATE_REFUSED',
    'the daemon does not accept the certificate of this client',
  ],
  [
    /self.signed|unable to (?:verify|get)|certificate (?:signature failure|chain)|UNABLE_TO/i,
    'SERVER_AUTHORITY_UNKNOWN',
    'the certificate of the daemon is from an authority that this client does not know',
  ],
  [
    /wrong version number|packet length too long|http request/,
    'NO_TLS_THERE',
    'the daemon does not speak TLS on this address',
  ],
  [/HTTP status code|content-type|Protocol error/, 'NO_GRPC_THERE', 'what answers there does not speak gRPC'],
  [/\bENOENT\b/, 'NO_ANSWER', 'there is no such socket'],
  [/\bEACCES\b/, 'SOCKET_NOT_ALLOWED', 'this user may not write to the socket'],
  [/\bENOTFOUND\b|\bEAI_AGAIN\b|Name resolution failed/, 'HOST_UNKNOWN', 'the name of the host is not known'],
  [/\bECONNREFUSED\b/, 'NO_ANSWER', 'nothing listens there'],
  [/\bE(?:HOSTUNREACH|NETUNREACH|TIMEDOUT)\b/, 'HOST_UNREACHABLE', 'the host cannot be reached'],
  // grpc-js reports this if the other side closes before it has sent anything, as a port with TLS
  // may do to a client without.
  [
    /Last error: (?:Error: )?(?:Failed to connect|.*(?:ECONNRESET|EPIPE|socket disconnected))/,
    'HUNG_UP',
    'the connection was closed before it sent anything',
  ],
];

/**
 * Why there is no connection, or none any more; undefined if the error is not about the connection.
 * Call it only for an error without a status in its metadata: a status is a daemon's answer.
 */
export function connectionFailure({ code, details }: BareError): ConnectionFailure | undefined {
  const found = MEANINGS.find(([pattern]) => pattern.test(details));
  const isOfConnection = code === UNAVAILABLE || found?.[1] === 'NO_GRPC_THERE';
  if (isOfConnection && found !== undefined) return { reason: found[1], what: found[2] };
  if (code === UNIMPLEMENTED)
    return { reason: 'RPC_UNKNOWN', what: 'the daemon does not know this call: it is of another version' };
  if (code !== UNAVAILABLE) return undefined;
  const [, last] = /Last error: (?:Error: )?(.*?)(?:\. Resolution note|$)/s.exec(details) ?? [];
  return last === undefined
    ? { reason: 'CONNECTION_LOST', what: 'the connection broke off' }
    : { reason: 'NO_ANSWER', what: last.trim() };
}
