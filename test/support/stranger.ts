/** A client that knows nothing but proto/, as a stranger's would: no generated code of ours. */
import {
  credentials,
  loadPackageDefinition,
  type ChannelCredentials,
  type Client,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import { noting } from './reasons/seen.js';
import { noteSecrets } from './secrets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const FILES = ['image_service', 'operation_service', 'host_info_service', 'file_service', 'command_service'];
const DETAILS = ['google/rpc/status.proto', 'google/rpc/error_details.proto'];

const definition = loadSync([...FILES.map((name) => `hostler/v1/${name}.proto`), ...DETAILS], {
  includeDirs: [`${root}proto`, `${root}node_modules/google-gax/build/protos`],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: false,
  oneofs: true,
});

/** A message as JSON-like data. */
export type Message = Record<string, unknown>;

interface Decoder {
  readonly type: { readonly name: string };
  deserialize(bytes: Buffer): Message;
}

/** A failed call: its code, reason and facts. */
export class CallError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly metadata: Record<string, string>;
  readonly fields: readonly string[];
  readonly retryDelay: unknown;

  constructor(error: { readonly code: number; readonly details: string; readonly metadata: Metadata }) {
    super(error.details);
    this.code = error.code;
    const details = decodeDetails(error.metadata);
    const info = infoOf(details);
    this.reason = info.reason ?? '';
    this.metadata = info.metadata ?? {};
    const bad = details.get('google.rpc.BadRequest') as { field_violations?: { field: string }[] } | undefined;
    this.fields = bad?.field_violations?.map(({ field }) => field) ?? [];
    this.retryDelay = details.get('google.rpc.RetryInfo')?.['retry_delay'];
  }
}

function infoOf(details: Map<string, Message>): { reason?: string; metadata?: Record<string, string> } {
  return details.get('google.rpc.ErrorInfo') ?? {};
}

function decodeDetails(metadata: Metadata): Map<string, Message> {
  const [packed] = metadata.get('grpc-status-details-bin');
  return packed instanceof Buffer ? detailsOf(decode('google.rpc.Status', packed)) : new Map<string, Message>();
}

function detailsOf(status: Message): Map<string, Message> {
  const details = (status['details'] ?? []) as { '@type'?: string; type_url?: string; value?: Buffer }[];
  return new Map(
    details.map((any) => {
      const name = (any['@type'] ?? any.type_url ?? '').replace('type.googleapis.com/', '');
      return [name, any.value instanceof Uint8Array ? decode(name, Buffer.from(any.value)) : any];
    }),
  );
}

function decode(name: string, bytes: Buffer): Message {
  return (definition[name] as unknown as Decoder).deserialize(bytes);
}

/** The reason in a google.rpc.Status that stands in an answer. */
export function reasonIn(status: unknown): string {
  return infoOf(detailsOf(status as Message)).reason ?? '';
}

const notes = noting({
  ofCall: (metadata) => infoOf(decodeDetails(metadata)).reason ?? '',
  ofOperations: failedOperations,
});

/** Operations that have failed, in an answer of OperationService. */
function failedOperations(answer: unknown): { readonly method: string; readonly reason: string }[] {
  if (Array.isArray(answer)) return answer.flatMap(failedOperations);
  if (typeof answer !== 'object' || answer === null) return [];
  const { operation, operations, method, last, event } = answer as Message;
  const inside = [operation, operations].flatMap(failedOperations);
  const error = ((last ?? event) as Message | undefined)?.['error'] as Message | undefined;
  if (typeof method !== 'string' || error === undefined) return inside;
  return [...inside, { method, reason: infoOf(detailsOf(error)).reason ?? '' }];
}

type Method = (
  request: Message,
  metadata: Metadata,
  options: object,
  callback?: (error: ServiceError | null, answer: Message) => void,
) => ClientReadableStream<Message>;

interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** Every RPC that proto/ has, `ImageService/CopyImage`, and whether requests or answers stream. */
export const RPCS = Object.entries(definition)
  .flatMap(([name, entry]) =>
    name.endsWith('Service') ? Object.values<MethodDefinition>({ ...(entry as object) }) : [],
  )
  .map(({ path, requestStream, responseStream }) => ({
    rpc: path.replace('/hostler.v1.', ''),
    requestStream,
    responseStream,
  }));

/** One connection to a daemon. */
export class Stranger {
  readonly #clients = new Map<string, Client>();

  constructor(
    private readonly address: string,
    private readonly proof: ChannelCredentials = credentials.createInsecure(),
    private readonly options: object = {},
  ) {}

  /** Calls a unary RPC, `ImageService/GetImageInfo`. Throws CallError. */
  unary(rpc: string, request: Message = {}, options: object = {}): Promise<Message> {
    noteSecrets(request);
    return new Promise((resolve, reject) => {
      this.#method(rpc)(request, new Metadata(), options, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(new CallError(error));
      });
    });
  }

  /** Opens a server stream. */
  stream(
    rpc: string,
    request: Message = {},
    options: object = {},
    metadata = new Metadata(),
  ): ClientReadableStream<Message> {
    noteSecrets(request);
    return this.#method(rpc)(request, metadata, options);
  }

  /** All messages of a server stream. Throws CallError. */
  async all(rpc: string, request: Message = {}, options: object = {}, metadata?: Metadata): Promise<Message[]> {
    const messages: Message[] = [];
    const stream = this.stream(rpc, request, options, metadata);
    stream.on('data', (message: Message) => messages.push(message));
    await new Promise<void>((resolve, reject) => {
      stream.once('end', resolve);
      stream.once('error', (error: ServiceError) => reject(new CallError(error)));
    });
    return messages;
  }

  /** Runs an operation to its end; its result. Throws CallError. */
  async operation(rpc: string, request: Message, options: object = {}): Promise<Message> {
    const last = (await this.all(rpc, request, options)).at(-1);
    const result = last?.['result'] as Message | undefined;
    if (result === undefined) throw new Error(`the last event of ${rpc} has no result: ${JSON.stringify(last)}`);
    return result;
  }

  /** Opens a client stream; its answer. Throws CallError. */
  upload(rpc: string): { readonly stream: ClientWritableStream<Message>; readonly answer: Promise<Message> } {
    let stream: ClientWritableStream<Message> | undefined;
    const answer = new Promise<Message>((resolve, reject) => {
      const open = this.#method(rpc) as unknown as (
        callback: (error: ServiceError | null, answer: Message) => void,
      ) => ClientWritableStream<Message>;
      stream = open((error, message) => {
        if (error === null) resolve(message);
        else reject(new CallError(error));
      });
    });
    answer.catch(() => undefined); // heard by whoever awaits it
    if (stream === undefined) throw new Error(`${rpc} did not open`);
    return { stream, answer };
  }

  /** Sends all messages of a client stream; its answer. Throws CallError. */
  async send(rpc: string, messages: readonly Message[]): Promise<Message> {
    const { stream, answer } = this.upload(rpc);
    for (const message of messages) stream.write(message);
    stream.end();
    return answer;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #method(rpc: string): Method {
    const [service = '', name = ''] = rpc.split('/');
    let client = this.#clients.get(service);
    if (client === undefined) {
      const loaded = loadPackageDefinition(definition) as unknown as {
        hostler: { v1: Record<string, new (address: string, creds: object, options: object) => Client> };
      };
      const Service = loaded.hostler.v1[service];
      if (Service === undefined) throw new Error(`no service ${service}`);
      client = new Service(this.address, this.proof, { ...this.options, interceptors: [notes] });
      this.#clients.set(service, client);
    }
    const method = (client as unknown as Record<string, Method>)[name];
    if (method === undefined) throw new Error(`no RPC ${rpc}`);
    return method.bind(client);
  }
}

/** The error that a call ends with; fails when it succeeds. */
export async function failure(call: Promise<unknown>): Promise<CallError> {
  try {
    const answer = await call;
    throw new Error(`succeeded: ${JSON.stringify(answer)}`);
  } catch (error) {
    if (error instanceof CallError) return error;
    throw error;
  }
}
