import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { readFile } from 'node:fs/promises';
import { ServerCredentials, type Server, type ServiceDefinition } from '@grpc/grpc-js';
import type { Authority, Identity } from '../domain/access/authority.js';
import type { PathScope } from '../domain/access/path-scope.js';
import { FairRoom } from '../domain/budgets/fair-room.js';
import { REFUSALS_A_SECOND, Throttle, type AuditTrail } from '../domain/access/audit.js';
import { HostlerError } from '../domain/model/errors.js';
import type { Tracer } from '../domain/ports/tracer.js';
import { CommandServiceService } from '../gen/hostler/v1/command_service.js';
import { FileServiceService } from '../gen/hostler/v1/file_service.js';
import { HostInfoServiceService } from '../gen/hostler/v1/host_info_service.js';
import type { ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { WIRE_IMAGE_SERVICE } from '../protocol/bulk-messages.js';
import { OperationServiceService } from '../gen/hostler/v1/operation_service.js';
import type { Handlers } from '../handlers/handler.js';
import type { ServiceName } from '../handlers/rpc-table.js';
import { BoundedServer, messageBound } from './bounds/bounded-server.js';
import { messageBytes, requestShapes, type Shape } from './bounds/shapes.js';
import { FairStart } from './bounds/fair-start.js';
import { OpenCalls, limitCalls, type CallLimits } from './call-limits.js';
import type { Certificates } from './certificates.js';
import { Connections, type ConnectionLimits, type WhyDropped } from './connections.js';
import { Listener } from './listener.js';
import { holdOneMessage, watchSessions } from './flow-control.js';
import { Health, ServingStatus } from './health.js';
import { addReflection } from './reflection.js';
import { nothingAfterDeadline } from './after-deadline.js';
import { answeredInBytes } from './encode.js';
import { implement } from './service.js';
import { ListenError, type SocketOwner } from './unix-socket.js';
import type { CallContext, CallLog, StreamLimits } from './call.js';

const HEALTH_SERVICE = 'grpc.health.v1.Health';
/** MiB that one connection may hold in unread messages. */
const MAX_SESSION_MEMORY_MIB = 64;
/** A client that does not answer a ping is gone, or reads nothing at all. */
const [KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS] = [60_000, 20_000];
/** Limit for a connection without a call. Clients reconnect by themselves. */
const IDLE_MS = 15 * 60_000;
/** Streams that have not ended by themselves after a drain are closed after this time. */
const CLOSE_GRACE_MS = 2000;
/** Time for calls that end by themselves; watches do not. */
const [LAST_ANSWERS_MS, LOOK_EVERY_MS] = [500, 10];

export interface ServiceHandlers {
  readonly host: Handlers<typeof HostInfoServiceService>;
  readonly command: Handlers<typeof CommandServiceService>;
  readonly file: Handlers<typeof FileServiceService>;
  readonly image: Handlers<typeof ImageServiceService>;
  readonly operation: Handlers<typeof OperationServiceService>;
}

/** An address to listen on, and its callers. */
export interface ListenerOptions {
  /** `unix:///PATH` or `tcp://HOST:PORT`. */
  readonly address: string;
  /** Callers present a certificate; otherwise every caller there is `identity`. */
  readonly tls: boolean;
  readonly identity: Identity;
  readonly socketOwner: SocketOwner;
}

/** Limits of denied calls in the audit log and in the log. */
export interface DenialLimits {
  /** For one caller; the next line contains the number of the others. */
  readonly denialsPerSecond: number;
}

export interface ServerOptions {
  readonly listeners: readonly ListenerOptions[];
  /** Needed by listeners with TLS. */
  readonly certificates: Certificates | undefined;
  /** Called for each call, so that changes take effect at once. */
  readonly authority: () => Authority;
  readonly scope: PathScope;
  readonly audit: AuditTrail;
  readonly limits: ConnectionLimits & CallLimits & StreamLimits & DenialLimits;
  readonly descriptorFile: string;
  readonly handlers: ServiceHandlers;
  readonly tracer: Tracer;
  readonly log: ServerLog;
}

export interface ServerLog {
  readonly call: CallLog;
  /** A connection was refused before any call. */
  readonly refused: (peer: string, error: HostlerError) => void;
  readonly dropped: (why: WhyDropped) => void;
}

/**
 * Serves all services on all addresses. One gRPC server for each address, because the address
 * determines its callers.
 */
export class HostlerServer {
  readonly #servers: Server[] = [];
  readonly #listeners: Listener[] = [];
  readonly #connections: Connections;
  readonly #calls: OpenCalls;
  #shapes: ReadonlyMap<string, Shape> = new Map();
  readonly #fairStart = new FairStart();
  readonly #answers: FairRoom;
  readonly #health = new Health();
  readonly #denials: Throttle;
  readonly #refusals = new Throttle(Date.now, REFUSALS_A_SECOND);
  readonly #closing = new AbortController();
  /** Bound addresses, with the real port if 0 was requested. */
  readonly addresses: string[] = [];

  constructor(private readonly options: ServerOptions) {
    holdOneMessage();
    this.#connections = new Connections(options.limits, options.log.dropped);
    this.#calls = new OpenCalls(options.limits);
    this.#answers = new FairRoom(options.limits.answerBytes);
    this.#denials = new Throttle(Date.now, options.limits.denialsPerSecond);
    // Every open call adds a listener: Node reports more than ten as a leak, in the log.
    setMaxListeners(0, this.#closing.signal);
  }

  get connections(): number {
    return this.#connections.open;
  }

  /** Fails with ListenError. */
  async listen(): Promise<void> {
    this.#shapes = requestShapes(await readFile(this.options.descriptorFile));
    for (const listener of this.options.listeners) this.addresses.push(await this.#open(listener));
    this.#setHealth(ServingStatus.SERVING);
  }

  /** From now on health checks return NOT_SERVING; calls continue. */
  beginDrain(): void {
    this.#setHealth(ServingStatus.NOT_SERVING);
  }

  /** Ends open streams, then everything else. */
  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    // Calls whose operations have just ended get their answers.
    for (let waited = 0; !this.#calls.calls.empty && waited < LAST_ANSWERS_MS; waited += LOOK_EVERY_MS)
      await sleep(LOOK_EVERY_MS);
    this.#closing.abort(new HostlerError('SHUTTING_DOWN', 'the daemon is stopping'));
    await Promise.all(
      this.#servers.map(async (server) => {
        const force = setTimeout(() => {
          server.forceShutdown();
        }, CLOSE_GRACE_MS);
        await new Promise<void>((resolve) => {
          server.tryShutdown(() => {
            resolve();
          });
        });
        clearTimeout(force);
      }),
    );
  }

  async #open({ address, tls, identity, socketOwner }: ListenerOptions): Promise<string> {
    const { certificates, authority, limits } = this.options;
    const server = this.#create(address, (peer) => {
      if (!tls) return identity;
      const names = listener.namesOf(peer);
      if (names === undefined) throw new HostlerError('NOT_AUTHENTICATED', 'the connection is closed');
      return authority().identify(names);
    });
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    // A session is created while its connection is injected.
    let entering: Socket | undefined;
    watchSessions(server, (session) => {
      const socket = entering;
      if (socket !== undefined) session.on('stream', (stream) => this.#connections.called(socket, stream));
    });
    if (tls && certificates === undefined) throw new ListenError(`${address} needs a certificate: set [tls]`);
    const listener = new Listener(
      {
        address,
        socketOwner,
        handshakeMs: limits.handshakeMs,
        ...(tls && certificates !== undefined ? { certificates } : {}),
      },
      {
        connections: this.#connections,
        whoIs: (names) => (names === undefined ? identity : authority().identify(names)).name,
        enter: (socket) => {
          entering = socket;
          injector.injectConnection(socket);
          entering = undefined;
        },
        refused: (peer, error) => {
          this.#refused(peer, error);
        },
      },
    );
    const bound = await listener.listen();
    this.#servers.push(server);
    this.#listeners.push(listener);
    return bound;
  }

  /** A listener refused a connection. */
  #refused(peer: string, error: HostlerError): void {
    const { log, audit } = this.options;
    log.dropped('not authenticated');
    const leftOut = this.#refusals.pass('');
    if (leftOut === undefined) return;
    log.refused(peer, error);
    void audit.end({
      event: 'refused',
      caller: '',
      peer,
      result: error.shown.reason,
      ...(leftOut === 0 ? {} : { leftOut }),
    });
  }

  #create(address: string, whoIs: CallContext['whoIs']): Server {
    const { handlers, log, tracer, descriptorFile, scope, audit, limits } = this.options;
    const shapes = this.#shapes;
    const server = new BoundedServer(shapes, {
      'grpc.max_concurrent_streams': limits.streamsPerConnection,
      // The limit of any RPC; each has its own, which is checked first.
      'grpc.max_receive_message_length': Math.max(...[...shapes.values()].map(messageBytes)),
      'grpc-node.max_session_memory': MAX_SESSION_MEMORY_MIB,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_connection_idle_ms': IDLE_MS,
      interceptors: [
        // First: it observes the bytes of grpc-js' own call, which the other interceptors wrap.
        limitCalls(this.#calls, {
          whoIs: (peer) => whoIs(peer).name,
          messageBytes: (path) => messageBound(shapes, path),
          takesOutOfBounds: (path) => path.startsWith('/hostler.'),
        }),
        nothingAfterDeadline,
      ],
    });
    const context = {
      address,
      whoIs,
      scope,
      fairStart: this.#fairStart,
      answers: this.#answers,
      audit,
      throttle: this.#denials,
      unreadMs: limits.unreadMs,
      tracer,
      log: log.call,
      closing: this.#closing.signal,
    };
    const add = <S extends ServiceDefinition>(name: ServiceName, definition: S, handled: Handlers<S>) => {
      server.addService(answeredInBytes(definition), implement(name, definition, handled, context));
    };
    add('ImageService', WIRE_IMAGE_SERVICE, handlers.image);
    add('OperationService', OperationServiceService, handlers.operation);
    add('HostInfoService', HostInfoServiceService, handlers.host);
    add('FileService', FileServiceService, handlers.file);
    add('CommandService', CommandServiceService, handlers.command);
    this.#health.addTo(server);
    addReflection(server, descriptorFile, [...SERVICES, HEALTH_SERVICE], (peer) => {
      assertSomeRole(whoIs(peer));
    });
    return server;
  }

  #setHealth(status: ServingStatus): void {
    for (const service of ['', ...SERVICES]) this.#health.set(service, status);
  }
}

/** Shows the services only to callers with a role. Fails with METHOD_NOT_ALLOWED. */
function assertSomeRole({ name, roles }: Identity): void {
  if (roles.length > 0) return;
  throw new HostlerError('METHOD_NOT_ALLOWED', `${name} may not list services: the caller has no role`, {
    facts: { caller: name },
  });
}

const SERVICES = ['ImageService', 'HostInfoService', 'FileService', 'OperationService', 'CommandService'].map(
  (name) => `hostler.v1.${name}`,
);
