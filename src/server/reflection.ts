/**
 * Server reflection, v1 and v1alpha, from the descriptors that buf built. @grpc/reflection merges
 * files and loses their dependencies (1.0.4), so that clients of other languages refuse what it
 * serves; the raw bytes are what they want.
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
 * @param assertRole fails when the caller of a connection has no role
 */
export function addReflection(
  server: Server,
  descriptorFile: string,
  services: readonly string[],
  assertRole: (peer: string) => void,
): void {
  const names = [...services, 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'].sort();
  // Most daemons are never asked: the descriptors are read with the first question.
  let index: Promise<DescriptorIndex> | undefined;
  const loaded = () => (index ??= readFile(descriptorFile).then((bytes) => new DescriptorIndex(bytes)));
  // The two versions have the same messages on the wire.
  const serverReflectionInfo = (call: Call) => {
    // The client may have gone; nobody waits for the error then.
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

/** One question after the other: the next is read when the answer before it is on its way. */
async function answerAll(
  call: Call,
  ask: (request: ServerReflectionRequest) => Promise<ServerReflectionResponse>,
): Promise<void> {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort());
  // Node would destroy the stream where its reading ends, with the answers that are on their way.
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
