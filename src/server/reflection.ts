/**
 * Server reflection, v1 and v1alpha, from the descriptors that buf built. @grpc/reflection (1.0.4)
 * merges files and loses their dependencies, so that clients in other languages reject what it
 * serves; this serves the raw bytes.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { status, type Server, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  ServerReflectionService as V1,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../gen/grpc/reflection/v1/reflection.js';
import { ServerReflectionService as V1Alpha } from '../gen/grpc/reflection/v1alpha/reflection.js';
import { asHostlerError } from '../domain/model/errors.js';
import { DescriptorIndex } from './descriptor-index.js';
import { wireError } from './service-call.js';

/**
 * Registers reflection for the services given by their full names.
 * @param assertRole fails if the caller of a connection has no role
 */
export function addReflection(
  server: Server,
  descriptorFile: string,
  services: readonly string[],
  assertRole: (peer: string) => void,
): void {
  const names = [...services, 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'].sort();
  // Most daemons get no such request: the descriptors are read with the first one.
  let index: Promise<DescriptorIndex> | undefined;
  const loaded = () => (index ??= readFile(descriptorFile).then((bytes) => new DescriptorIndex(bytes)));
  // The two versions have the same messages on the wire.
  const serverReflectionInfo = (call: Call) => {
    // The client may have disconnected; then the error is not needed.
    call.on('error', () => undefined);
    try {
      assertRole(call.getPeer());
    } catch (error) {
      call.emit('error', wireError(asHostlerError(error)));
      return;
    }
    answerAll(call, async (request) => answer(request, await loaded(), names)).catch((error: unknown) => {
      if (!call.cancelled) call.emit('error', wireError(asHostlerError(error)));
    });
  };
  server.addService(V1, { serverReflectionInfo });
  server.addService(V1Alpha, { serverReflectionInfo });
}

type Call = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;

/** Answers one request after the other: the next is read when the previous answer has been sent. */
async function answerAll(
  call: Call,
  ask: (request: ServerReflectionRequest) => Promise<ServerReflectionResponse>,
): Promise<void> {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort());
  // Node would destroy the stream at the end of its requests, with the answers that are still being
  // sent.
  const requests: AsyncIterable<ServerReflectionRequest> = call.iterator({ destroyOnReturn: false });
  for await (const request of requests)
    if (!call.write(await ask(request))) await once(call, 'drain', { signal: gone.signal });
  call.end();
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
