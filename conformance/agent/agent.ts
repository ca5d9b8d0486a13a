/** One caller of an agent. It knows the contract, and nothing of how the agent is made. */
import type { EventEmitter } from 'node:events';
import type { Client, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { OperationState, type OperationEvent, type OperationResult } from '../../src/gen/hostler/v1/operation.js';
import { Refusal, refusalIn, refusalOf } from './refusal.js';
import type { Rpc } from './rpc.js';

/** No call of the suite takes longer on a healthy agent. */
const CALL_MS = 60_000;

/** An operation from its first event to its last. */
export interface Done {
  readonly id: string;
  readonly events: readonly OperationEvent[];
  readonly result: OperationResult;
}

/** Every operation of a run carries it. */
export const RUN_LABEL = 'hostler-conformance';

interface Labelled {
  labels: Record<string, string>;
}

export class Agent {
  readonly #client: Client;

  /** @param run the value of the label that every operation gets */
  constructor(
    client: Client,
    private readonly run: string,
  ) {
    this.#client = client;
  }

  /** A call with one answer. Fails with Refusal. */
  ask<Fields, Request, Response>(
    { path, serialize, deserialize, request }: Rpc<Fields, Request, Response>,
    fields: Fields,
    deadlineMs = CALL_MS,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request(fields),
        { deadline: Date.now() + deadlineMs },
        answered(path, resolve, reject),
      );
    });
  }

  /** A call whose answers stream in; the caller listens and ends it. */
  open<Fields, Request, Response>(
    { path, serialize, deserialize, request }: Rpc<Fields, Request, Response>,
    fields: Fields,
    deadlineMs = CALL_MS,
  ): ClientReadableStream<Response> {
    const options = { deadline: Date.now() + deadlineMs };
    return this.#client.makeServerStreamRequest(path, serialize, deserialize, request(fields), options);
  }

  /** All answers of such a call. Fails with Refusal. */
  async read<Fields, Request, Response>(
    rpc: Rpc<Fields, Request, Response>,
    fields: Fields,
    deadlineMs = CALL_MS,
  ): Promise<Response[]> {
    return everything<Response>(this.open(rpc, fields, deadlineMs));
  }

  /**
   * A call whose requests stream; without `end` the stream stays open. Fails with Refusal.
   */
  send<Fields, Request, Response>(
    { path, serialize, deserialize, request }: Rpc<Fields, Request, Response>,
    messages: Iterable<Fields>,
    { end = true } = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + CALL_MS };
      const done = answered(path, resolve, reject);
      const stream = this.#client.makeClientStreamRequest(path, serialize, deserialize, options, done);
      for (const fields of messages) stream.write(request(fields));
      if (end) stream.end();
    });
  }

  /** A call in which both sides stream: all answers to these requests. Fails with Refusal. */
  exchange<Fields, Request, Response>(
    { path, serialize, deserialize, request }: Rpc<Fields, Request, Response>,
    messages: Iterable<Fields>,
  ): Promise<Response[]> {
    const options = { deadline: Date.now() + CALL_MS };
    const stream = this.#client.makeBidiStreamRequest(path, serialize, deserialize, options);
    for (const fields of messages) stream.write(request(fields));
    stream.end();
    return everything<Response>(stream);
  }

  /** Begins an operation, with the label of this run; the caller listens. */
  begin<Fields, Request extends Labelled>(
    { request, ...rpc }: Rpc<Fields, Request, OperationEvent>,
    fields: Fields,
    deadlineMs = CALL_MS,
  ): ClientReadableStream<OperationEvent> {
    const labelled = (each: Fields) => {
      const whole = request(each);
      whole.labels = { ...whole.labels, [RUN_LABEL]: this.run };
      return whole;
    };
    return this.open({ ...rpc, request: labelled }, fields, deadlineMs);
  }

  /** An operation until it has succeeded. Fails with Refusal. */
  async operate<Fields, Request extends Labelled>(
    rpc: Rpc<Fields, Request, OperationEvent>,
    fields: Fields,
  ): Promise<Done> {
    return doneOf(await everything<OperationEvent>(this.begin(rpc, fields)));
  }

  close(): void {
    this.#client.close();
  }
}

/** The events of an operation that has succeeded. Fails where the last one has no result. */
function doneOf(events: readonly OperationEvent[]): Done {
  const last = events.at(-1);
  if (last?.error !== undefined) throw refusalIn(last.error);
  if (last?.state !== OperationState.OPERATION_STATE_SUCCEEDED || last.result === undefined)
    throw new Error(`the stream ended in state ${String(last?.state)} with no result`);
  return { id: last.operationId, events, result: last.result };
}

/** The messages of a stream until the first that is the one; then ends it. Fails with Refusal. */
export function until<Message>(
  stream: ClientReadableStream<Message>,
  isTheOne: (message: Message) => boolean,
): Promise<Message> {
  return new Promise((resolve, reject) => {
    stream.on('data', (message: Message) => {
      if (!isTheOne(message)) return;
      resolve(message);
      stream.cancel();
    });
    stream.on('error', (error: ServiceError) => reject(refusalOf(error)));
    stream.once('end', () => reject(new Error('the stream ended without the message')));
  });
}

/** Every message of a stream. Fails with Refusal. */
function everything<Message>(stream: EventEmitter): Promise<Message[]> {
  const messages: Message[] = [];
  stream.on('data', (message: Message) => messages.push(message));
  return new Promise((resolve, reject) => {
    stream.once('end', () => resolve(messages));
    stream.once('error', (error: ServiceError) => reject(refusalOf(error)));
  });
}

function answered<Response>(path: string, resolve: (answer: Response) => void, reject: (error: Error) => void) {
  return (error: ServiceError | null, answer?: Response) => {
    if (error !== null) reject(refusalOf(error));
    else if (answer === undefined) reject(new Error(`${path} has neither an answer nor an error`));
    else resolve(answer);
  };
}

/** How a call fails. Throws when it succeeds, or fails in another way than by a status. */
export async function refusalFrom(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('the call succeeded');
}
