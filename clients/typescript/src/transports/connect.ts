/** Calls by `@connectrpc/connect`, in the gRPC protocol. */
import { connect as connectSocket } from 'node:net';
import type { SecureClientSessionOptions } from 'node:http2';
import { type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { Http2SessionManager, createGrpcTransport } from '@connectrpc/connect-node';
import type { Endpoint } from '../endpoint.js';
import { CallFailed, type CallSettings, type Method, type Transport } from './transport.js';

const TYPE_PREFIX = 'type.googleapis.com/';
const SESSION = { pingIntervalMs: 30_000, pingTimeoutMs: 20_000 };

/** A transport by `@connectrpc/connect-node`: `connect({ transport: connectTransport })`. */
export function connectTransport(endpoint: Endpoint): Transport {
  const baseUrl = baseUrlOf(endpoint);
  const sessions = new Http2SessionManager(baseUrl, SESSION, nodeOptionsOf(endpoint));
  const transport = createGrpcTransport({ baseUrl, sessionManager: sessions });
  return {
    async *call<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      requests: AsyncIterable<MessageShape<I>>,
      { signal, timeoutMs }: CallSettings,
    ): AsyncGenerator<MessageShape<O>, void> {
      // Leaving the loop ends the call.
      const left = new AbortController();
      const either = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
      try {
        signal?.throwIfAborted();
        if (method.methodKind === 'unary') {
          for await (const request of requests)
            yield (await transport.unary(method, either, timeoutMs, undefined, request)).message;
        } else {
          yield* (await transport.stream(method, either, timeoutMs, undefined, requests)).message;
        }
      } catch (error) {
        signal?.throwIfAborted();
        throw error instanceof ConnectError ? failed(error) : error;
      } finally {
        left.abort();
      }
    },
    close() {
      sessions.abort();
    },
  };
}

function baseUrlOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return 'http://localhost';
  return `${endpoint.tls === undefined ? 'http' : 'https'}://${endpoint.authority}`;
}

function nodeOptionsOf(endpoint: Endpoint): SecureClientSessionOptions {
  // With the default of 64 KiB downloads take twice as long.
  const settings = { initialWindowSize: 1024 * 1024 };
  if (endpoint.kind === 'unix') return { settings, createConnection: () => connectSocket(endpoint.path) };
  return endpoint.tls === undefined ? { settings } : { settings, ...endpoint.tls, minVersion: 'TLSv1.3' };
}

function failed(error: ConnectError): CallFailed {
  const details = error.details.flatMap((detail) =>
    'type' in detail ? [{ typeUrl: `${TYPE_PREFIX}${detail.type}`, value: detail.value }] : [],
  );
  return new CallFailed({ code: error.code, message: error.rawMessage, details }, error);
}
