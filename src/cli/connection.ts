import { credentials, type ServiceError } from '@grpc/grpc-js';
import { HostInfoServiceClient } from '../gen/hostler/v1/host_info_service.js';
import { ImageServiceClient } from '../gen/hostler/v1/image_service.js';
import { OperationServiceClient } from '../gen/hostler/v1/operation_service.js';
import { UsageError } from './failure.js';

export const DEFAULT_ADDRESS = 'unix:///run/hostler/hostler.sock';

/** The clients of one daemon. */
export interface Connection {
  readonly address: string;
  readonly host: HostInfoServiceClient;
  readonly images: ImageServiceClient;
  readonly operations: OperationServiceClient;
  close(): void;
}

/** `unix:///PATH`, `tcp://HOST:PORT` or HOST:PORT. */
export function connect(address: string): Connection {
  const target = address.startsWith('tcp://') ? address.slice('tcp://'.length) : address;
  if (!/^unix:\/\/\/.|^[^/]+:\d{1,5}$/.test(target)) {
    throw new UsageError(`--address ${address}: must be unix:///PATH or tcp://HOST:PORT`);
  }
  const [host, images, operations] = [
    new HostInfoServiceClient(target, credentials.createInsecure()),
    new ImageServiceClient(target, credentials.createInsecure()),
    new OperationServiceClient(target, credentials.createInsecure()),
  ];
  return {
    address,
    host,
    images,
    operations,
    close() {
      host.close();
      images.close();
      operations.close();
    },
  };
}

/** A unary call as a promise. */
export function ask<Response>(
  call: (callback: (error: ServiceError | null, response: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });
}
