import type { Caller } from '../domain/access/caller.js';

interface Method<Q extends boolean, R extends boolean, Request, Response> {
  readonly requestStream: Q;
  readonly responseStream: R;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Response) => Buffer;
}

/** One request, one answer. */
export type Unary<Request, Response> = (request: Request, caller: Caller) => Promise<Response>;
/** One request, a stream of answers; a slow reader slows the stream. */
export type ServerStream<Request, Response> = (request: Request, caller: Caller) => AsyncIterable<Response>;
/** A stream of requests, one answer; a fast sender is slowed. */
export type ClientStream<Request, Response> = (requests: AsyncIterable<Request>, caller: Caller) => Promise<Response>;

/** The handlers of a generated service. A missing one answers UNIMPLEMENTED with the RPC's name. */
export type Handlers<S> = {
  readonly [K in keyof S]?: S[K] extends Method<false, false, infer Request, infer Response>
    ? Unary<Request, Response>
    : S[K] extends Method<false, true, infer Request, infer Response>
      ? ServerStream<Request, Response>
      : S[K] extends Method<true, false, infer Request, infer Response>
        ? ClientStream<Request, Response>
        : never;
};

/** Each item of a stream, translated. */
export async function* mapStream<A, B>(stream: AsyncIterable<A>, translate: (item: A) => B): AsyncGenerator<B, void> {
  for await (const item of stream) yield translate(item);
}
