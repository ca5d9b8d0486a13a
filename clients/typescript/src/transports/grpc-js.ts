/** Calls by `@grpc/grpc-js`. */
import { once } from 'node:events';
import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import {
  Client,
  Metadata,
  connectivityState,
  credentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Endpoint } from '../endpoint.js';
import { StatusSchema } from '../gen/google/rpc/status_pb.js';
import { CallFailed, type CallSettings, type Method, type Transport } from './transport.js';

const OPTIONS = {
  // A daemon that starts again should be found soon.
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 1000,
  // A connection that is dead without a word is noticed.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 20_000,
  // With the default of 64 KiB downloads take twice as long.
  'grpc-node.flow_control_window': 1024 * 1024,
  // A new channel tries at once, whatever an earlier one has found.
  'grpc.use_local_subchannel_pool': 1,
};

/** A transport by `@grpc/grpc-js`. `connect` uses it when it gets none. */
export function grpcJsTransport(endpoint: Endpoint): Transport {
  const open = new Set<{ cancel(): void }>();
  const newClient = () => new Client(targetOf(endpoint), credentialsOf(endpoint), OPTIONS);
  let current = newClient();
  // A channel that waits before it tries again ends each call with the error of its last try, also
  // when the daemon is back.
  const connected = () => {
    if (current.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE) {
      current.close();
      current = newClient();
    }
    return current;
  };
  return {
    async *call<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      requests: AsyncIterable<MessageShape<I>>,
      { signal, timeoutMs }: CallSettings,
    ): AsyncGenerator<MessageShape<O>, void> {
      signal?.throwIfAborted();
      // One request and one answer look the same on the wire as two streams of one message.
      const stream = connected().makeBidiStreamRequest<MessageShape<I>, MessageShape<O>>(
        `/${method.parent.typeName}/${method.name}`,
        (message) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        new Metadata(),
        timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
      );
      const answers: AsyncIterable<MessageShape<O>> = stream;
      open.add(stream);
      const over = new AbortController();
      const abort = () => stream.cancel();
      signal?.addEventListener('abort', abort, { once: true });
      const sending = send(stream, requests, over.signal);
      try {
        yield* answers;
        await sending;
      } catch (error) {
        signal?.throwIfAborted();
        throw isServiceError(error) ? failed(error) : error;
      } finally {
        signal?.removeEventListener('abort', abort);
        open.delete(stream);
        over.abort();
        stream.cancel();
      }
    },
    close() {
      // By itself the library would let the calls come to their ends.
      for (const stream of open) stream.cancel();
      current.close();
    },
  };
}

/** Resolves also when the call ends before everything is sent: its status says why. */
async function send<T, U>(stream: ClientDuplexStream<T, U>, requests: AsyncIterable<T>, over: AbortSignal) {
  try {
    for await (const request of requests) {
      if (over.aborted || stream.destroyed || stream.writableEnded) return;
      if (!stream.write(request)) await once(stream, 'drain', { signal: over });
    }
    stream.end();
  } catch (error) {
    // Reading or encoding a request failed: the call must not end as if it were complete.
    if (!over.aborted && !isServiceError(error))
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    stream.cancel();
  }
}

function targetOf(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? `unix://${endpoint.path}` : `dns:${endpoint.authority}`;
}

function credentialsOf(endpoint: Endpoint) {
  if (endpoint.tls === undefined) return credentials.createInsecure();
  const { ca, key, cert } = endpoint.tls;
  return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

function failed(error: ServiceError): CallFailed {
  const [packed] = error.metadata.get('grpc-status-details-bin');
  const bare = { code: error.code, message: error.details, details: [] };
  try {
    if (packed instanceof Buffer) return new CallFailed(fromBinary(StatusSchema, packed), error);
  } catch {
    // No Status: the server is no daemon of ours.
  }
  return new CallFailed(bare, error);
}
