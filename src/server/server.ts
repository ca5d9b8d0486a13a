import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Role } from '../domain/caller.js';
import { HostlerError } from '../domain/errors.js';
import { CommandServiceService } from '../gen/hostler/v1/command_service.js';
import { FileServiceService } from '../gen/hostler/v1/file_service.js';
import { HostInfoServiceService } from '../gen/hostler/v1/host_info_service.js';
import { ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { OperationServiceService } from '../gen/hostler/v1/operation_service.js';
import type { Handlers } from '../handlers/handler.js';
import { widenWindows } from './flow-control.js';
import { addReflection } from './reflection.js';
import { implement } from './service.js';
import type { CallLog } from './service-call.js';
import { ListenError, prepareSocket, protectSocket } from './unix-socket.js';

const HEALTH_SERVICE = 'grpc.health.v1.Health';
/** Of one connection; more wait at the client. */
const MAX_CONCURRENT_STREAMS = 1000;
/** MiB that one connection may hold in unread messages. */
const MAX_SESSION_MEMORY_MIB = 64;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** Streams that have not ended by themselves after a drain are cut after so long. */
const CLOSE_GRACE_MS = 2000;

export interface ServiceHandlers {
  readonly host: Handlers<typeof HostInfoServiceService>;
  readonly command: Handlers<typeof CommandServiceService>;
  readonly file: Handlers<typeof FileServiceService>;
  readonly image: Handlers<typeof ImageServiceService>;
  readonly operation: Handlers<typeof OperationServiceService>;
}

export interface ServerOptions {
  /** `unix:///PATH` or `tcp://HOST:PORT`. */
  readonly listen: readonly string[];
  /** What callers on the loopback may do, who have not said who they are. */
  readonly loopbackRole: Role;
  readonly descriptorFile: string;
  readonly handlers: ServiceHandlers;
  readonly log: CallLog;
}

/** Serves all services on all addresses. One grpc server per address, so that an address decides who its callers are. */
export class HostlerServer {
  readonly #servers: Server[] = [];
  readonly #health = new HealthImplementation();
  readonly #closing = new AbortController();
  /** Bound addresses, with the real port where 0 was asked for. */
  readonly addresses: string[] = [];

  constructor(private readonly options: ServerOptions) {}

  /** Fails with ListenError. */
  async listen(): Promise<void> {
    for (const address of this.options.listen) this.addresses.push(await this.#bind(address));
    this.#setHealth('SERVING');
  }

  /** From now on health checks say NOT_SERVING; calls go on. */
  beginDrain(): void {
    this.#setHealth('NOT_SERVING');
  }

  /** Ends what still streams, then everything. */
  async close(): Promise<void> {
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

  async #bind(address: string): Promise<string> {
    const unix = address.startsWith('unix://');
    const path = address.slice('unix://'.length);
    if (unix) await prepareSocket(path);
    const server = this.#create(
      unix
        ? { identity: 'local', roles: ['admin'] }
        : { identity: 'loopback', roles: rolesOf(this.options.loopbackRole) },
    );
    const target = unix ? `unix:${path}` : address.slice('tcp://'.length);
    // Nobody may connect between bind and chmod.
    const umask = unix ? process.umask(0o177) : undefined;
    try {
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(target, ServerCredentials.createInsecure(), (error, bound) => {
          if (error === null) resolve(bound);
          else reject(new ListenError(`cannot listen on ${address}: ${error.message}`));
        });
      });
      widenWindows(server);
      if (unix) await protectSocket(path);
      this.#servers.push(server);
      return unix ? address : `${address.slice(0, address.lastIndexOf(':'))}:${String(port)}`;
    } finally {
      if (umask !== undefined) process.umask(umask);
    }
  }

  #create(listener: { identity: string; roles: readonly Role[] }): Server {
    const { handlers, log, descriptorFile } = this.options;
    const server = new Server({
      'grpc.max_concurrent_streams': MAX_CONCURRENT_STREAMS,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc-node.max_session_memory': MAX_SESSION_MEMORY_MIB,
    });
    const context = { listener, log, closing: this.#closing.signal };
    server.addService(ImageServiceService, implement('ImageService', ImageServiceService, handlers.image, context));
    server.addService(
      OperationServiceService,
      implement('OperationService', OperationServiceService, handlers.operation, context),
    );
    server.addService(
      HostInfoServiceService,
      implement('HostInfoService', HostInfoServiceService, handlers.host, context),
    );
    server.addService(FileServiceService, implement('FileService', FileServiceService, handlers.file, context));
    server.addService(
      CommandServiceService,
      implement('CommandService', CommandServiceService, handlers.command, context),
    );
    this.#health.addToServer(server);
    addReflection(server, descriptorFile, [...SERVICES, HEALTH_SERVICE]);
    return server;
  }

  #setHealth(status: 'SERVING' | 'NOT_SERVING'): void {
    for (const service of ['', ...SERVICES]) this.#health.setStatus(service, status);
  }
}

const SERVICES = ['ImageService', 'HostInfoService', 'FileService', 'OperationService', 'CommandService'].map(
  (name) => `hostler.v1.${name}`,
);

function rolesOf(role: Role): Role[] {
  return role === 'admin' ? ['viewer', 'admin'] : ['viewer'];
}
