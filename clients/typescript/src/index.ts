/** `@hostler/client`: everything but the messages (`@hostler/client/v1`) and connect. */
export type { CallOptions, ServiceClient } from './calls.js';
export { connect, type ConnectOptions, type Hostler } from './client.js';
export { contextsPath, readContexts, type Context, type Contexts } from './contexts.js';
export { DEFAULT_ADDRESS, findEndpoint, type Endpoint, type EndpointOptions, type TlsFiles } from './endpoint.js';
export {
  Code,
  ConfigurationError,
  ConnectionError,
  ContractError,
  HostlerError,
  type ConnectionProblem,
  type Detail,
  type FieldViolation,
  type StatusFields,
} from './errors.js';
export type { DownloadRequest } from './files/download.js';
export type { TransferOptions, UploadRequest } from './files/upload.js';
export { Operation, type OperationOptions, type ResultCase, type ResultOf } from './operation.js';
export { isRepeatable, retrying, type RetryPolicy } from './retry.js';
export { grpcJsTransport } from './transports/grpc-js.js';
export {
  CallFailed,
  type CallSettings,
  type Method,
  type Transport,
  type TransportFactory,
} from './transports/transport.js';
export type { WatchOptions } from './watch.js';
