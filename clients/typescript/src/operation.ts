/** Long work: one loop for all verbs. */
import { create, type DescMessage, type DescMethodServerStreaming, type MessageShape } from '@bufbuild/protobuf';
import { ensureRequestId, only, type CallOptions, type Caller } from './calls.js';
import { Code, ConnectionError, HostlerError } from './errors.js';
import type { OperationEvent, OperationEventSchema, OperationResult } from './gen/hostler/v1/operation_pb.js';
import {
  CancelOperationRequestSchema,
  OperationService,
  type CancelledOperation,
} from './gen/hostler/v1/operation_service_pb.js';
import { Backoff, retrying, type RetryPolicy } from './retry.js';

/** Options of a call that is an operation. */
export interface OperationOptions extends CallOptions {
  /** Called with each event. */
  readonly onProgress?: (event: OperationEvent) => void;
  /** How the call is made again after a lost connection or a restart. */
  readonly retry?: RetryPolicy;
}

type Results = Exclude<OperationResult['result'], { case: undefined }>;
/** The kinds of results: `image`, `copy`, `fetch` … */
export type ResultCase = Results['case'];
/** The message of a kind. */
export type ResultOf<K extends ResultCase> = Extract<Results, { case: K }>['value'];

type OperationMethod = DescMethodServerStreaming<DescMessage, typeof OperationEventSchema>;

/**
 * An operation that was started. It works whether or not anybody waits for it: iterate over its
 * events, or wait for its result, or both. When the connection or the daemon goes away, the call is
 * made again with the same request id, so that it follows the same work or gets its first result.
 */
export class Operation implements AsyncIterable<OperationEvent> {
  /** The idempotency key of the call: the request's, or a new one; empty if its RPC has none. */
  readonly requestId: string;
  readonly #caller: Caller;
  readonly #options: OperationOptions;
  readonly #done: Promise<OperationResult>;
  /** Ends the waits between two attempts. */
  readonly #stop = new AbortController();
  #last: OperationEvent | undefined;
  #count = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  /** Operations are started by the RPCs of a service. */
  constructor(caller: Caller, method: OperationMethod, request: MessageShape<DescMessage>, options: OperationOptions) {
    this.#caller = caller;
    this.#options = options;
    this.requestId = ensureRequestId(method.input, request);
    this.#done = this.#run(method, request).finally(() => {
      this.#ended = true;
      this.#wake();
    });
    // Rejections reach those who wait for the result or iterate.
    this.#done.catch(() => undefined);
  }

  /** The latest event; undefined until there is one. */
  get last(): OperationEvent | undefined {
    return this.#last;
  }

  /** The id of the operation; undefined until the daemon has admitted it. */
  get id(): string | undefined {
    return this.#last?.operationId;
  }

  /**
   * Waits for the end. With a kind, the message of that kind: `result('image')`. Rejects with
   * HostlerError as the operation fails, and if the result is of another kind.
   */
  result(): Promise<OperationResult>;
  result<K extends ResultCase>(kind: K): Promise<ResultOf<K>>;
  async result(kind?: ResultCase): Promise<unknown> {
    const { result, ...all } = await this.#done;
    if (kind === undefined) return { ...all, result };
    if (result.case === kind) return result.value;
    throw new TypeError(`the result is ${result.case ?? 'unknown to this client'}, not ${kind}`);
  }

  /**
   * Events as they come, the last one included; a loop that is slower gets the latest. Throws as
   * the operation fails. Leaving the loop does not end the operation.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<OperationEvent, void> {
    for (let seen = 0; ;) {
      if (this.#count > seen && this.#last !== undefined) {
        seen = this.#count;
        yield this.#last;
      } else if (this.#ended) {
        await this.#done;
        return;
      } else {
        await this.#news();
      }
    }
  }

  /**
   * Ends the operation. Resolves when its children are gone and its files removed, with their
   * names; undefined if the daemon had not admitted it yet. The result then rejects.
   */
  async cancel(): Promise<CancelledOperation | undefined> {
    this.#stop.abort(new HostlerError({ code: Code.CANCELLED, message: 'cancelled by this client', details: [] }));
    while (this.id === undefined && !this.#ended) await this.#news();
    if (this.id === undefined) return undefined;
    const request = create(CancelOperationRequestSchema, { operationId: this.id });
    const { operations } = await retrying(
      () => this.#caller.one(OperationService.method.cancelOperation, only(request), {}),
      this.#options.retry,
    );
    return operations[0];
  }

  async #run(method: OperationMethod, request: MessageShape<DescMessage>): Promise<OperationResult> {
    const backoff = new Backoff(this.#options.retry);
    const stops = [this.#stop.signal, ...(this.#options.signal === undefined ? [] : [this.#options.signal])];
    for (;;) {
      try {
        return await this.#follow(method, request, backoff);
      } catch (error) {
        // A watch of an operation that has failed would only see the same again.
        const isFinal = this.requestId === '' && this.#last?.error !== undefined;
        if (isFinal || this.#stop.signal.aborted) throw error;
        await backoff.wait(error, AbortSignal.any(stops));
      }
    }
  }

  /** One call, to its end. */
  async #follow(
    method: OperationMethod,
    request: MessageShape<DescMessage>,
    backoff: Backoff,
  ): Promise<OperationResult> {
    const { signal, timeoutMs } = this.#options;
    for await (const event of this.#caller.stream(method, only(request), { signal, timeoutMs })) {
      backoff.reset();
      this.#publish(event);
      if (event.result !== undefined) return event.result;
      // A watch ends well when the operation failed; other calls end with the same status next.
      if (event.error !== undefined) throw new HostlerError(event.error);
    }
    throw new ConnectionError(
      this.#caller.endpoint.address,
      'connection-lost',
      'the stream ended before the operation',
      'Make the same call again.',
    );
  }

  #publish(event: OperationEvent): void {
    this.#last = event;
    this.#count++;
    this.#wake();
    this.#options.onProgress?.(event);
  }

  /** Resolves with the next event, or at the end. */
  #news(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
