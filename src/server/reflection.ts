/**
 * Server reflection, v1 and v1alpha, from the descriptors that buf built. @grpc/reflection merges files and loses their
 * dependencies (1.0.4), so that clients of other languages refuse what it serves; the raw bytes are what they want.
 */
import { readFile } from 'node:fs/promises';
import { status, type Server, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  ServerReflectionService as V1,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../gen/grpc/reflection/v1/reflection.js';
import { ServerReflectionService as V1Alpha } from '../gen/grpc/reflection/v1alpha/reflection.js';
import { asHostlerError } from '../domain/errors.js';
import { DescriptorIndex } from './descriptor-index.js';
import { wireError } from './service-call.js';

/**
 * Registers reflection for the services given by their full names.
 * @param assertRole fails where whoever is at a far end may ask for nothing
 */
export function addReflection(
  server: Server,
  descriptorFile: string,
  services: readonly string[],
  assertRole: (peer: string) => void,
): void {
  const names = [...services, 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'].sort();
  // Most daemons are never asked: the descriptors are read when somebody does.
  let index: Promise<DescriptorIndex> | undefined;
  const loaded = () => (index ??= readFile(descriptorFile).then((bytes) => new DescriptorIndex(bytes)));
  // The two versions have the same messages on the wire.
  const serverReflectionInfo = (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) => {
    // The client may have gone; there is nobody to tell then.
    call.on('error', () => undefined);
    try {
      assertRole(call.getPeer());
    } catch (error) {
      call.emit('error', wireError(asHostlerError(error)));
      return;
    }
    call.on('data', (request: ServerReflectionRequest) => {
      loaded().then(
        (found) => call.write(answer(request, found, names)),
        (error: unknown) => call.emit('error', wireError(asHostlerError(error))),
      );
    });
    // After the answers that are still on their way.
    call.on(
      'end',
      () =>
        void loaded().finally(() => {
          call.end();
        }),
    );
  };
  server.addService(V1, { serverReflectionInfo });
  server.addService(V1Alpha, { serverReflectionInfo });
}

function answer(
  request: ServerReflectionRequest,
  index: DescriptorIndex,
  services: readonly string[],
): ServerReflectionResponse {
  return {
    validHost: request.host,
    originalRequest: request,
    messageResponse: find(request.messageRequest, index, services),
  };
}

function find(
  wanted: ServerReflectionRequest['messageRequest'],
  index: DescriptorIndex,
  services: readonly string[],
): ServerReflectionResponse['messageResponse'] {
  switch (wanted?.$case) {
    case 'listServices':
      return { $case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return files(index.withImports(wanted.value), wanted.value);
    case 'fileContainingSymbol':
      return files(index.withImports(index.fileOfSymbol(wanted.value)), wanted.value);
    case 'fileContainingExtension':
    case 'allExtensionNumbersOfType':
      return notFound('extensions are not used here');
    case undefined:
      return { $case: 'errorResponse', value: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'empty request' } };
  }
}

function files(found: readonly Uint8Array[], name: string): ServerReflectionResponse['messageResponse'] {
  return found.length === 0
    ? notFound(name)
    : { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: found.map((bytes) => Buffer.from(bytes)) } };
}

function notFound(name: string): ServerReflectionResponse['messageResponse'] {
  return { $case: 'errorResponse', value: { errorCode: status.NOT_FOUND, errorMessage: `not found: ${name}` } };
}
