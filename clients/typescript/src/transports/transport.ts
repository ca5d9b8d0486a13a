/** What the client needs of a gRPC library. */
import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import type { Endpoint } from '../endpoint.js';
import type { Detail, StatusFields } from '../errors.js';

/** A method of a generated service with its messages. */
export type Method<I extends DescMessage, O extends DescMessage> = DescMethodUnary<I, O> | DescMethodStreaming<I, O>;

export interface CallSettings {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A connection to one daemon by some gRPC library. */
export interface Transport {
  /**
   * Makes a call. The answers come as they arrive; a method that is not streaming has one. Leaving
   * the loop ends the call. Throws CallFailed, and the reason of the signal when it is aborted.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    requests: AsyncIterable<MessageShape<I>>,
    settings: CallSettings,
  ): AsyncIterable<MessageShape<O>>;
  /** Ends the connection and the calls on it. */
  close(): void;
}

/** Makes a transport for a daemon. It connects with its first call. */
export type TransportFactory = (endpoint: Endpoint) => Transport;

/** A call ended with a status. Without details it may be the library's own, not the daemon's. */
export class CallFailed extends Error implements StatusFields {
  override readonly name = 'CallFailed';
  readonly code: number;
  readonly details: readonly Detail[];

  constructor({ code, message, details }: StatusFields, cause: unknown) {
    super(message, { cause });
    this.code = code;
    this.details = details;
  }
}
