/** The RPCs of a service as typed functions, taken from the descriptors. */
import { randomUUID } from 'node:crypto';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { connectionError, diagnose } from './diagnose.js';
import type { Endpoint } from './endpoint.js';
import { Code, HostlerError } from './errors.js';
import { OperationEventSchema } from './gen/hostler/v1/operation_pb.js';
import type { Operation, OperationOptions } from './operation.js';
import { CallFailed, type CallSettings, type Method, type Transport } from './transports/transport.js';

/** Options of every call. */
export interface CallOptions {
  /** Ends the call; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** The deadline of the call, which the daemon gets too. */
  readonly timeoutMs?: number;
}

/**
 * The RPCs of a service. One that returns a stream of events is an operation; the others are plain
 * calls, of which a stream is an async iterable.
 */
export type ServiceClient<S extends DescService> = { readonly [K in keyof S['method']]: Call<S['method'][K]> };

type Call<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? O extends typeof OperationEventSchema
        ? (request: MessageInitShape<I>, options?: OperationOptions) => Operation
        : (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
          : never;

/** Makes calls, and gives their failures one shape. */
export class Caller {
  #closed = false;

  constructor(
    readonly transport: Transport,
    readonly endpoint: Endpoint,
  ) {}

  /** One answer. Fails with HostlerError. */
  async one<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    requests: AsyncIterable<MessageShape<I>>,
    settings: CallSettings,
  ): Promise<MessageShape<O>> {
    for await (const answer of this.stream(method, requests, settings)) return answer;
    throw new HostlerError({ code: Code.INTERNAL, message: `${method.name}: no answer`, details: [] });
  }

  /** Answers as they come. Fails with HostlerError. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    requests: AsyncIterable<MessageShape<I>>,
    settings: CallSettings,
  ): AsyncGenerator<MessageShape<O>, void> {
    try {
      yield* this.transport.call(method, requests, settings);
    } catch (error) {
      throw error instanceof CallFailed ? await this.#toError(error, method) : error;
    }
  }

  /** Ends the connection. Calls that are under way fail, and are not made again. */
  close(): void {
    this.#closed = true;
    this.transport.close();
  }

  async #toError(failed: CallFailed, method: DescMethod): Promise<HostlerError> {
    if (this.#closed) return new HostlerError({ code: Code.CANCELLED, message: 'this client is closed', details: [] });
    if (failed.details.length > 0) {
      const error = new HostlerError(failed, failed.cause);
      // Only a port with TLS asks who a caller is.
      const isPlain = this.endpoint.kind === 'tcp' && this.endpoint.tls === undefined;
      return isPlain && error.reason === 'NOT_AUTHENTICATED'
        ? connectionError(this.endpoint, 'server-wants-tls', error)
        : error;
    }
    const name = `${method.parent.typeName}/${method.name}`;
    if (UNREADABLE.test(failed.message)) {
      const message = `the answer to ${name} cannot be read: what answers is no agent of this contract (${failed.message})`;
      return new HostlerError({ code: failed.code, message, details: [] }, failed.cause);
    }
    if (WITHOUT_ANSWER.includes(failed.code)) return diagnose(this.endpoint, failed.cause);
    if (failed.code !== Code.UNIMPLEMENTED) return new HostlerError(failed, failed.cause);
    const message = `the agent does not serve ${name}: it is of another version than this client (${failed.message})`;
    return new HostlerError({ code: failed.code, message, details: [] }, failed.cause);
  }
}

/** What grpc-js and connect say of an answer that is no message of its type. */
const UNREADABLE = /^(?:Response message parsing error|parse binary)/;

/** Codes that libraries give to their own failures. The daemon's errors always have details. */
const WITHOUT_ANSWER: readonly number[] = [Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.ABORTED, Code.CANCELLED];

/** Starts an operation of a method. */
export type StartOperation = (
  method: DescMethodServerStreaming<DescMessage, typeof OperationEventSchema>,
  request: MessageShape<DescMessage>,
  options: OperationOptions,
) => Operation;

/** The RPCs of a service. */
export function serviceClient<S extends DescService>(service: S, caller: Caller, start: StartOperation) {
  const calls = Object.entries(service.method).map(([name, method]) => [name, callOf(method, caller, start)] as const);
  // The descriptors say at runtime what the type says of them.
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions
  return Object.fromEntries(calls) as ServiceClient<S>;
}

type Init = MessageInitShape<DescMessage>;

function callOf(method: DescMethod, caller: Caller, start: StartOperation): unknown {
  switch (method.methodKind) {
    case 'unary':
      return (request: Init, options: CallOptions = {}) =>
        caller.one(method, only(create(method.input, request)), options);
    case 'server_streaming':
      return isOperation(method)
        ? (request: Init, options: OperationOptions = {}) => start(method, create(method.input, request), options)
        : (request: Init, options: CallOptions = {}) =>
            caller.stream(method, only(create(method.input, request)), options);
    case 'client_streaming':
      return (requests: AsyncIterable<Init>, options: CallOptions = {}) =>
        caller.one(method, created(method.input, requests), options);
    case 'bidi_streaming':
      return (requests: AsyncIterable<Init>, options: CallOptions = {}) =>
        caller.stream(method, created(method.input, requests), options);
  }
}

function isOperation(
  method: DescMethod,
): method is DescMethod & DescMethodServerStreaming<DescMessage, typeof OperationEventSchema> {
  return method.output.typeName === OperationEventSchema.typeName;
}

/** A stream of one request. */
// eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to wait for
export async function* only<T>(request: T): AsyncGenerator<T, void> {
  yield request;
}

async function* created(schema: DescMessage, requests: AsyncIterable<Init>) {
  for await (const request of requests) yield create(schema, request);
}

/** Gives a request an id if its message has one and it is empty. Returns the id; empty: none. */
export function ensureRequestId(schema: DescMessage, request: MessageShape<DescMessage>): string {
  const field = schema.field['requestId'];
  if (field?.fieldKind !== 'scalar') return '';
  const message = reflect(schema, request);
  const given = message.get(field);
  if (typeof given === 'string' && given !== '') return given;
  const id: string = randomUUID();
  message.set(field, id);
  return id;
}
