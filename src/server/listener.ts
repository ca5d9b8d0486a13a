/** A listening address: accepts connections, identifies their callers, and passes them on. */
import { constants } from 'node:crypto';
import { Server as PlainServer, Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls';
import { HostlerError, asHostlerError } from '../domain/model/errors.js';
import type { TlsFiles } from '../protocol/certificate-files.js';
import { certificateNames } from '../protocol/certificate-names.js';
import type { Certificates } from './certificates.js';
import type { Connections, WhyEnded } from './connections.js';
import { hearFirst, type Protocol } from './first-words.js';
import { rejectConnection } from './reject-connection.js';
import { certificateProblem, handshakeProblem } from './handshake-problem.js';
import { startListening } from './start-listening.js';
import { prepareSocket, protectSocket, type SocketOwner } from './unix-socket.js';

export interface ListenerSetup {
  /** `unix:///PATH` or `tcp://HOST:PORT`. */
  readonly address: string;
  /** Unset: without TLS. */
  readonly certificates?: Certificates;
  readonly socketOwner: SocketOwner;
  readonly handshakeMs: number;
}

export interface ListenerPorts {
  readonly connections: Connections;
  /**
   * The caller of a connection, by the typed names of its certificate; without TLS there are none.
   */
  readonly whoIs: (names: readonly string[] | undefined) => string;
  readonly enter: (socket: Socket) => void;
  /** A connection was refused. */
  readonly refused: (peer: string, error: HostlerError) => void;
}

/** The client address of a connection, in the form of grpc-js. */
const peerOf = ({ remoteAddress = '', remotePort = 0 }: Socket) => `${remoteAddress}:${String(remotePort)}`;

/**
 * The preface of HTTP/2 and the head of the SETTINGS frame that follows it (RFC 9113, 3.4): a
 * client sends at least this.
 */
const PREFACE_BYTES = 24 + 9;

/** Protocols of a call without TLS. */
const OF_GRPC: readonly Protocol[] = ['HTTP/2', 'unknown'];

/**
 * The socket below a TLS connection (by Node's internal name): after the end only that still knows
 * the client address.
 */
function socketBelow(socket: TLSSocket): Socket {
  const below: unknown = Reflect.get(socket, '_parent');
  return below instanceof Socket ? below : socket;
}

/** Sent to a client that speaks HTTP/2 without TLS. */
const NO_TLS = 'the client does not use TLS, which this address needs: connect with TLS and a client certificate';

/**
 * Listens on one address, with or without TLS, checks each connection and passes it to the gRPC
 * server. Stores the names of a connection's certificate until it closes.
 */
export class Listener {
  readonly #server: PlainServer;
  /** For each connection with a certificate, by its client address. */
  readonly #names = new Map<string, readonly string[]>();
  /** Connections that were refused. */
  readonly #refused = new WeakSet<Socket>();

  constructor(
    private readonly options: ListenerSetup,
    private readonly ports: ListenerPorts,
  ) {
    const { certificates } = options;
    this.#server = certificates === undefined ? this.#plain() : this.#secure(certificates);
    this.#server.maxConnections = Number.MAX_SAFE_INTEGER; // counted over all listeners instead
  }

  /** The names in the certificate of a connection. */
  namesOf(peer: string): readonly string[] | undefined {
    return this.#names.get(peer);
  }

  /**
   * Returns the bound address, with the real port if 0 was requested. Fails with ListenError,
   * OwnFileError.
   */
  async listen(): Promise<string> {
    const { address, socketOwner } = this.options;
    const path = address.startsWith('unix://') ? address.slice('unix://'.length) : undefined;
    if (path !== undefined) await prepareSocket(path);
    // No client may connect between bind and chmod.
    const umask = path === undefined ? undefined : process.umask(0o177);
    try {
      await startListening(
        this.#server,
        path === undefined ? hostAndPort(address) : { path },
        `${address} (server.listen)`,
      );
    } finally {
      if (umask !== undefined) process.umask(umask);
    }
    // A connection that could not be accepted, for example without a free descriptor.
    this.#server.on('error', (error: Error) => this.ports.refused('', asHostlerError(error)));
    if (path !== undefined) await protectSocket(path, socketOwner);
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null
      ? `${address.slice(0, address.lastIndexOf(':'))}:${String(bound.port)}`
      : address;
  }

  /** Accepts no more connections; open ones continue. */
  close(): void {
    this.#server.close();
  }

  #plain(): PlainServer {
    return new PlainServer({ noDelay: true }, (socket) => {
      const { connections, whoIs, enter } = this.ports;
      const isThrough = () => socket.bytesRead >= PREFACE_BYTES;
      const onEnd = (why: WhyEnded) => this.#refuse(socket, this.#ended(why));
      if (!connections.arrive(socket, isThrough, onEnd)) return;
      if (!connections.belongsTo(whoIs(undefined), socket)) return;
      hearFirst(socket, (protocol) => {
        if (protocol === undefined) return;
        if (!OF_GRPC.includes(protocol))
          this.#refuse(socket, `the client speaks ${protocol}; this address takes gRPC without TLS`);
        // The answer shows a TLS client that this address has no TLS.
        enter(socket);
      });
    });
  }

  #secure(certificates: Certificates): PlainServer {
    /** Connections during their handshake, or about to be refused with a reason. */
    const outside = new Map<string, Socket>();
    const tls = this.#tls(certificates, (socket) => outside.delete(peerOf(socket)));
    return new PlainServer({ noDelay: true }, (socket) => {
      const peer = peerOf(socket);
      outside.set(peer, socket);
      socket.once('close', () => outside.delete(peer));
      const onEnd = (why: WhyEnded) => this.#refuse(socket, this.#ended(why), peer);
      if (!this.ports.connections.arrive(socket, () => !outside.has(peer), onEnd)) return;
      hearFirst(socket, (protocol) => {
        if (protocol === undefined) this.#refuse(socket, 'the client left without sending anything', peer);
        else if (protocol === 'HTTP/2') rejectConnection(socket, this.#refuse(socket, NO_TLS));
        else tls.emit('connection', socket);
      });
    });
  }

  /** Runs handshakes on the connections that it is given; it does not listen itself. */
  #tls(certificates: Certificates, settled: (socket: TLSSocket) => void): TlsServer {
    const server = createTlsServer({
      ...contextOf(certificates.files),
      ALPNProtocols: ['h2'],
      requestCert: true,
      // The result is sent to the caller as the status of its calls.
      rejectUnauthorized: false,
      handshakeTimeout: this.options.handshakeMs,
    });
    certificates.onChange((files) => server.setSecureContext(contextOf(files)));
    server.on('secureConnection', (socket) => {
      this.#welcome(socket, () => {
        settled(socket);
      });
    });
    // For example a port scanner; the connection is already closed.
    server.on('tlsClientError', (error, socket) => {
      const below = socketBelow(socket);
      const peer = peerOf(socket.remoteAddress === undefined ? below : socket);
      this.#refuse(below, handshakeProblem(error), peer, error);
    });
    return server;
  }

  #ended(why: WhyEnded): string {
    return why === 'silent'
      ? `the client sent too little for ${String(this.options.handshakeMs / 1000)} s`
      : 'there are too many connections that have not shown whose they are';
  }

  /** Reports a refused connection once; later events are only its end. */
  #refuse(socket: Socket, why: string, peer = peerOf(socket), cause?: Error): HostlerError {
    const error = new HostlerError('NOT_AUTHENTICATED', why, { cause });
    const { address } = this.options;
    if (!this.#refused.has(socket)) this.ports.refused(address.startsWith('unix:') ? address : peer, error);
    this.#refused.add(socket);
    return error;
  }

  #welcome(socket: TLSSocket, settled: () => void): void {
    const { connections, whoIs, enter } = this.ports;
    const peer = peerOf(socket);
    socket.on('error', () => undefined); // only its end matters
    const found = holderOf(socket);
    if (typeof found === 'string') {
      rejectConnection(socket, this.#refuse(socketBelow(socket), found, peer));
      return;
    }
    settled();
    if (!connections.belongsTo(whoIs(found), socket)) return;
    this.#names.set(peer, found);
    socket.once('close', () => this.#names.delete(peer));
    enter(socket);
  }
}

function contextOf(files: TlsFiles) {
  // No tickets: a resumed session would not be verified again, although its certificate may have
  // been revoked.
  return { ...files, minVersion: 'TLSv1.3' as const, secureOptions: constants.SSL_OP_NO_TICKET };
}

function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice('tcp://'.length, colon).replaceAll(/[[\]]/g, ''),
    port: Number(address.slice(colon + 1)),
  };
}

/** The names in the client's certificate, or why they do not count. */
function holderOf(socket: TLSSocket): readonly string[] | string {
  const certificate = socket.getPeerCertificate();
  const refuse = (why: string) => `the client certificate is not accepted: ${why}`;
  if (Object.keys(certificate).length === 0) return 'there is no client certificate';
  // Despite its type, a code of OpenSSL such as CERT_HAS_EXPIRED.
  if (!socket.authorized) return refuse(certificateProblem(String(socket.authorizationError)));
  const found = certificateNames(certificate);
  return 'names' in found ? found.names : refuse(found.problem);
}
