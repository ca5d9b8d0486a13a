/** A gRPC server that checks the bytes of each request, of any service, before it decodes them. */
import { Server, type ServerOptions, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { HostlerError, invalidFields } from '../../domain/model/errors.js';
import { messageBytes, type Shape } from './shapes.js';
import { firstViolation } from './walk.js';

/** Replaces a request that was not decoded. */
export class OutOfBoundsRequest {
  constructor(readonly error: HostlerError) {}
}

/**
 * A grpc-js server that checks the sizes of requests by their descriptors before they are decoded.
 * A request out of bounds reaches the handler as OutOfBoundsRequest.
 */
export class BoundedServer extends Server {
  constructor(
    private readonly shapes: ReadonlyMap<string, Shape>,
    options: ServerOptions,
  ) {
    super(options);
  }

  /** Throws if the descriptors lack an RPC of the service. */
  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    const checked = Object.entries(service).map(([name, method]) => {
      const shape = this.shapes.get(method.path.slice(1));
      if (shape === undefined) throw new Error(`${method.path} is in no descriptor`);
      const requestDeserialize = (bytes: Buffer): unknown => decoded(shape, bytes, method.requestDeserialize);
      return [name, { ...method, requestDeserialize }] as const;
    });
    super.addService(Object.fromEntries(checked), implementation);
  }
}

/** The maximum length of messages to an RPC, by its path on the wire; 0 for an unknown path. */
export function messageBound(shapes: ReadonlyMap<string, Shape>, path: string): number {
  const shape = shapes.get(path.slice(1));
  return shape === undefined ? 0 : messageBytes(shape);
}

/** The error for a message of which no byte is accepted. */
export function refusedMessage(most: number): HostlerError {
  return wholeMessage(`the message is longer than ${String(most)} bytes`);
}

/** The error belongs to no single field. */
function wholeMessage(description: string, cause?: unknown): HostlerError {
  return new HostlerError('INVALID_FIELD', description, { violations: [{ field: '', description }], cause });
}

function decoded(shape: Shape, bytes: Buffer, decode: (bytes: Buffer) => unknown): unknown {
  const most = messageBytes(shape);
  if (bytes.length > most) return new OutOfBoundsRequest(refusedMessage(most));
  const wrong = firstViolation(shape, bytes);
  if (wrong !== undefined)
    return new OutOfBoundsRequest(wrong.field === '' ? wholeMessage(wrong.description) : invalidFields([wrong]));
  try {
    return decode(bytes);
  } catch (cause) {
    return new OutOfBoundsRequest(wholeMessage(`this is no message of the type ${shape.name}`, cause));
  }
}
