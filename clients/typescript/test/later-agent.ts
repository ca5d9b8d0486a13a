/**
 * A gRPC server without TLS that serves a later contract: what today's daemon cannot be asked for.
 * It knows GetHostInfo, GetImageInfo, which fails with details of a type of that contract, and
 * GetArchitecture, whose answer is no message at all.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata, Server, ServerCredentials, type UntypedHandleCall } from '@grpc/grpc-js';
import { GetHostInfoResponseSchema, HostInfoService, ImageService } from '@hostler/client/v1';
import { ErrorInfoSchema, RetryInfoSchema } from '../dist/gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../dist/gen/google/rpc/status_pb.js';

type Handler = (call: unknown, done: (error: object | null, answer?: Uint8Array) => void) => void;

export class LaterAgent implements Disposable {
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `tcp://127.0.0.1:${String(port)}`;
  }

  static async start(): Promise<LaterAgent> {
    const server = new Server();
    add(server, HostInfoService.method.getHostInfo, (_call, done) =>
      done(
        null,
        toBinary(
          GetHostInfoResponseSchema,
          create(GetHostInfoResponseSchema, { agentVersion: '9.0.0', contractVersion: '2.0' }),
        ),
      ),
    );
    add(server, HostInfoService.method.getArchitecture, (_call, done) => done(null, new Uint8Array([255, 255, 255])));
    add(server, ImageService.method.getImageInfo, (_call, done) => done(failure()));
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return new LaterAgent(server, port);
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
  }
}

function add(
  server: Server,
  method: { readonly name: string; readonly parent: { readonly typeName: string } },
  handler: Handler,
) {
  const bytes = (value: unknown) => value as Buffer;
  const definition = {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: (value: Buffer) => value,
    responseSerialize: (value: Uint8Array) => Buffer.from(value),
    responseDeserialize: (value: Buffer) => value,
  };
  server.addService({ [method.name]: definition }, { [method.name]: handler as UntypedHandleCall });
}

function failure(): object {
  const status = create(StatusSchema, {
    code: 9,
    message: 'not yet',
    details: [
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { domain: 'hostler', reason: 'LATER_REASON' })),
      anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } })),
      { typeUrl: 'type.googleapis.com/hostler.v2.News', value: new Uint8Array(Buffer.from('news')) },
    ],
  });
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, status)));
  return { code: 9, details: 'not yet', metadata };
}
