/**
 * Why a daemon gave no answer: it is found out by one more connection, whose errors are Node's own.
 * So the words do not depend on the gRPC library.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Endpoint } from './endpoint.js';
import { ConnectionError, type ConnectionProblem } from './errors.js';

const TIMEOUT_MS = 5000;
/** What a client of HTTP/2 says first: its preface and empty SETTINGS. */
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
const SETTINGS = 4;
/** Types of TLS records: change of ciphers, alert, handshake, data. */
const TLS_RECORDS = [0x14, 0x15, 0x16, 0x17];

/** What came of a connection. */
type Outcome = 'http2' | 'http1' | 'tls' | 'other' | 'closed' | 'silent' | { readonly error: Error };

/** What each problem means, and what to do. */
const WORDS: Readonly<Record<ConnectionProblem, readonly [what: string, advice: string]>> = {
  'no-such-socket': ['there is no such socket', 'Start hostlerd, or use another address.'],
  'nothing-listens': ['nothing listens there', 'Start hostlerd, or use another address.'],
  'no-permission': ['this user may not write to the socket', 'Run as a user or group that owns the socket.'],
  'host-unknown': ['the name of the host is not known', 'Check the name in the address.'],
  'host-unreachable': ['the host cannot be reached', 'Check the network between the two hosts.'],
  'certificate-name': [
    'the certificate of the daemon is for another name',
    'Use a name of the certificate in the address, or give the daemon a certificate for this one.',
  ],
  'certificate-expired': [
    'the certificate of the daemon is not valid now',
    'Give the daemon a new certificate, and compare the clocks of the two hosts.',
  ],
  'unknown-authority': [
    'the certificate of the daemon is from another authority than this client knows',
    'Name the authority of the daemon as the TLS CA.',
  ],
  'client-certificate-refused': [
    'the daemon does not accept the certificate of this client',
    'Use a certificate of the authority that the daemon knows.',
  ],
  'server-wants-tls': ['the daemon speaks TLS on this address', 'Give the three TLS files.'],
  'server-without-tls': [
    'there is no TLS on this address',
    'Leave out the TLS files, or use the address that has TLS.',
  ],
  'no-daemon': ['something else than hostlerd answers there', 'Use the address of the daemon.'],
  silent: ['something accepts connections there and says nothing', 'Look into the log of hostlerd.'],
  'connection-lost': ['the connection broke before the answer', 'Make the same call again.'],
};

/** Looks why there was no answer, which takes seconds at most. Never fails. */
export async function diagnose(endpoint: Endpoint, cause: unknown): Promise<ConnectionError> {
  const [problem, more] = await findProblem(endpoint);
  return connectionError(endpoint, problem, cause, more);
}

/** The error for a problem, in words. */
export function connectionError(
  { address }: Endpoint,
  problem: ConnectionProblem,
  cause: unknown,
  more?: string,
): ConnectionError {
  const [what, advice] = WORDS[problem];
  return new ConnectionError(address, problem, more === undefined ? what : `${what} (${more})`, advice, cause);
}

type Finding = readonly [problem: ConnectionProblem, more?: string | undefined];

async function findProblem(endpoint: Endpoint): Promise<Finding> {
  const withTls = endpoint.kind === 'tcp' && endpoint.tls !== undefined;
  const outcome = await greet(withTls ? openTls(endpoint) : openPlain(endpoint), withTls);
  if (outcome === 'http2') return ['connection-lost'];
  if (outcome === 'silent') return ['silent'];
  if (outcome === 'tls') return ['server-wants-tls'];
  if (outcome === 'http1' || outcome === 'other') return ['no-daemon'];
  if (outcome !== 'closed') {
    const found = byError(outcome.error);
    if (found !== undefined) return found;
  }
  // The other side closed without a word that says why: would it answer the other kind of client?
  if (endpoint.kind === 'tcp') {
    if (withTls && (await greet(openPlain(endpoint), false)) === 'http2') return ['server-without-tls'];
    if (!withTls && (await speaksTls(endpoint))) return ['server-wants-tls'];
  }
  return ['connection-lost', outcome === 'closed' ? undefined : outcome.error.message];
}

/** What Node says of sockets and certificates. The first that fits counts. */
const BY_CODE: readonly (readonly [RegExp, ConnectionProblem])[] = [
  [/^ENOENT$/, 'no-such-socket'],
  [/^ECONNREFUSED$/, 'nothing-listens'],
  [/^(EACCES|EPERM)$/, 'no-permission'],
  [/^(ENOTFOUND|EAI_\w+)$/, 'host-unknown'],
  [/^(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/, 'host-unreachable'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'certificate-name'],
  [/^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/, 'certificate-expired'],
  [/^(SELF_SIGNED_|DEPTH_ZERO_SELF_|UNABLE_TO_|CERT_)/, 'unknown-authority'],
  [/ALERT|HANDSHAKE_FAILURE/, 'client-certificate-refused'],
  [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_LAYER_FAILURE)$/, 'server-without-tls'],
];

function byError(error: Error): Finding | undefined {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  // All addresses of a name failed: the first says it.
  if (error instanceof AggregateError && error.errors[0] instanceof Error && code === '')
    return byError(error.errors[0]);
  const [, problem] = BY_CODE.find(([pattern]) => pattern.test(code)) ?? [];
  if (problem === undefined) return undefined;
  const more = problem.includes('certificate') || problem === 'unknown-authority' ? error.message : undefined;
  return [problem, more];
}

function openPlain(endpoint: Endpoint): Socket {
  return connectPlain(
    endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port },
  );
}

function openTls({ host, port, tls }: Endpoint & { readonly kind: 'tcp' }): Socket {
  const name = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ host, port, ...tls, ...name, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' });
}

/** Whether there is TLS, whatever its certificate. */
async function speaksTls({ host, port }: Endpoint & { readonly kind: 'tcp' }): Promise<boolean> {
  const socket = connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  const greeted = new Promise<boolean>((resolve) => {
    socket.setTimeout(TIMEOUT_MS, () => resolve(false));
    socket.once('secureConnect', () => resolve(true));
    socket.once('close', () => resolve(false));
    socket.once('error', (error) => resolve('code' in error && /ALERT/.test(String(error.code))));
  });
  try {
    return await greeted;
  } finally {
    socket.destroy();
  }
}

/** Says what a client of HTTP/2 says, and looks at the first bytes of the answer. */
async function greet(socket: Socket, withTls: boolean): Promise<Outcome> {
  const outcome = new Promise<Outcome>((resolve) => {
    socket.setTimeout(TIMEOUT_MS, () => resolve('silent'));
    socket.once(withTls ? 'secureConnect' : 'connect', () => socket.write(PREFACE));
    socket.once('data', (data: Buffer) => resolve(kindOf(data)));
    socket.once('error', (error) => resolve({ error }));
    socket.once('close', () => resolve('closed'));
  });
  try {
    return await outcome;
  } finally {
    socket.on('error', () => undefined); // it is being thrown away
    socket.destroy();
  }
}

function kindOf(data: Buffer): Outcome {
  if (data.toString('latin1', 0, 5) === 'HTTP/') return 'http1';
  if (data[3] === SETTINGS && data[0] === 0) return 'http2';
  return TLS_RECORDS.includes(data[0] ?? 0) && data[1] === 3 ? 'tls' : 'other';
}
