/**
 * Tells a client with an invalid certificate why its calls are refused; it gets no other answer.
 */
import { performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { HostlerError } from '../domain/model/errors.js';
import { wireError } from './service-call.js';

/** Time for one call and for reading the answer. */
const REFUSAL_MS = 2000;
const SETTINGS = { maxConcurrentStreams: 10, maxHeaderListSize: 8192 };

/**
 * Answers every call on the connection with the error, without reading its messages, and closes the
 * connection soon.
 */
export function rejectConnection(socket: Socket, error: HostlerError): void {
  const { code, details, metadata } = wireError(error);
  const session = performServerHandshake(socket, { settings: SETTINGS, maxSessionMemory: 1 });
  // A client that breaks the protocol is disconnected, as all clients here are.
  session.on('error', () => undefined);
  session.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined); // the same
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': code,
        'grpc-message': encodeURI(details),
        ...metadata.toHttp2Headers(),
      },
      { endStream: true },
    );
    session.close();
  });
  const timer = setTimeout(() => {
    session.destroy();
    socket.destroy();
  }, REFUSAL_MS);
  session.once('close', () => {
    clearTimeout(timer);
    socket.destroy();
  });
}
