/** A connection to one daemon. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Caller, only, serviceClient, type CallOptions, type ServiceClient } from './calls.js';
import { assertContract, assertFeature, contractError } from './contract.js';
import { findEndpoint, type EndpointOptions } from './endpoint.js';
import { download, type DownloadRequest } from './files/download.js';
import { upload, type TransferOptions, type UploadRequest } from './files/upload.js';
import { CommandService } from './gen/hostler/v1/command_service_pb.js';
import { FileService } from './gen/hostler/v1/file_service_pb.js';
import { GetHostInfoRequestSchema, HostInfoService } from './gen/hostler/v1/host_info_service_pb.js';
import type { GetHostInfoResponse } from './gen/hostler/v1/host_info_service_pb.js';
import type { ImageInfo } from './gen/hostler/v1/image_pb.js';
import { ImageService } from './gen/hostler/v1/image_service_pb.js';
import {
  OperationService,
  type WatchOperationsRequestSchema,
  type WatchOperationsResponse,
} from './gen/hostler/v1/operation_service_pb.js';
import { Operation } from './operation.js';
import type { RetryPolicy } from './retry.js';
import type { TransportFactory } from './transports/transport.js';
import { watchOperations, type WatchOptions } from './watch.js';

/** Where to connect, and how. */
export interface ConnectOptions extends EndpointOptions {
  /** The gRPC library; unset: grpc-js. `@hostler/client/connect` has another. */
  readonly transport?: TransportFactory;
  /** How calls are made again, unless a call says something else. */
  readonly retry?: RetryPolicy;
  /** For a caller whose role does not allow GetHostInfo: connect without asking the agent. */
  readonly unchecked?: boolean;
  /** Ends the attempt to connect. */
  readonly signal?: AbortSignal;
}

/** A connection to one daemon, with its services. */
export interface Hostler {
  /** As it was given or found. */
  readonly address: string;
  /** The folder for images on the host, if the context names one. */
  readonly root: string | undefined;
  /** What the agent said of itself when this client connected; undefined with `unchecked`. */
  readonly info: GetHostInfoResponse | undefined;
  readonly commands: ServiceClient<typeof CommandService>;
  readonly files: ServiceClient<typeof FileService>;
  readonly host: ServiceClient<typeof HostInfoService>;
  readonly images: ServiceClient<typeof ImageService>;
  readonly operations: ServiceClient<typeof OperationService>;
  /** Asks the agent whether it has a feature, such as `cursors`. Rejects with ContractError. */
  require(feature: string, options?: CallOptions): Promise<void>;
  /** Events of all operations that match; see watchOperations. */
  watch(
    request?: MessageInitShape<typeof WatchOperationsRequestSchema>,
    options?: WatchOptions,
  ): AsyncGenerator<WatchOperationsResponse, void>;
  /** Sends a local file; see upload. */
  upload(file: string, request: UploadRequest, options?: TransferOptions): Promise<ImageInfo>;
  /** Gets an image as a local file; see download. */
  download(request: DownloadRequest, file: string, options?: TransferOptions): Promise<number>;
  /** Ends the connection and the calls on it. */
  close(): void;
}

/**
 * Connects to a daemon: by arguments, else by the environment, else by a context, else at the
 * default socket. Rejects with ConfigurationError, ConnectionError, HostlerError (the daemon
 * refuses the caller), and ContractError (the agent serves another contract).
 */
export async function connect(options: ConnectOptions = {}): Promise<Hostler> {
  const { retry, unchecked = false, signal } = options;
  const endpoint = await findEndpoint(options);
  const factory = options.transport ?? (await import('./transports/grpc-js.js')).grpcJsTransport;
  const defaults = retry === undefined ? {} : { retry };
  const caller = new Caller(factory(endpoint), endpoint);
  const ask = (settings: CallOptions) =>
    caller
      .one(HostInfoService.method.getHostInfo, only(create(GetHostInfoRequestSchema)), settings)
      .catch((failure: unknown) => {
        throw contractError(failure);
      });
  const service = <S extends Parameters<typeof serviceClient>[0]>(description: S) =>
    serviceClient(
      description,
      caller,
      (method, request, own) => new Operation(caller, method, request, { ...defaults, ...own }),
    );
  try {
    const info = unchecked ? undefined : await ask(signal === undefined ? {} : { signal });
    if (info !== undefined) assertContract(info);
    return {
      address: endpoint.address,
      root: endpoint.root,
      info,
      commands: service(CommandService),
      files: service(FileService),
      host: service(HostInfoService),
      images: service(ImageService),
      operations: service(OperationService),
      require: async (feature, settings = {}) => assertFeature(await ask(settings), feature),
      watch: (request, own) => watchOperations(caller, request, { ...defaults, ...own }),
      upload: (file, request, own) => upload(caller, file, request, { ...defaults, ...own }),
      download: (request, file, own) => download(caller, request, file, { ...defaults, ...own }),
      close() {
        caller.close();
      },
    };
  } catch (error) {
    caller.close();
    throw error;
  }
}
