/** Calls made of bare bytes, as no generated client would make them. */
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import { Metadata } from '@grpc/grpc-js';
import { CallError } from '../stranger.js';

/** A bare HTTP/2 connection to a unix socket; what goes wrong with it shows in its calls. */
export async function bareSession(socketPath: string): Promise<ClientHttp2Session> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
  session.on('error', () => undefined);
  await once(session, 'connect');
  return session;
}

/** A message with its head. */
export function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/**
 * Opens a call, by its path such as `/hostler.v1.FileService/StatFile`, and sends nothing yet.
 * @param timeout as gRPC writes it, such as `500m`
 */
export function openCall(session: ClientHttp2Session, path: string, timeout?: string): ClientHttp2Stream {
  const headers = {
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...(timeout === undefined ? {} : { 'grpc-timeout': timeout }),
  };
  const stream = session.request(headers, { endStream: false });
  stream.on('error', () => undefined);
  return stream;
}

/** How a call ends, read to its end: undefined when it is OK. */
export async function endOf(stream: ClientHttp2Stream): Promise<CallError | undefined> {
  const found = await new Promise<Record<string, unknown>>((resolve) => {
    const look = (headers: Record<string, unknown>) => {
      if ('grpc-status' in headers) resolve(headers);
    };
    stream.on('response', look);
    stream.on('trailers', look);
    stream.once('close', () => {
      resolve({ 'grpc-status': '13', 'grpc-message': 'the stream was closed without a status' });
    });
    stream.resume();
  });
  stream.close();
  const code = Number(found['grpc-status']);
  if (code === 0) return undefined;
  const metadata = Metadata.fromHttp2Headers({ 'grpc-status-details-bin': found['grpc-status-details-bin'] as string });
  const details = decodeURI(String(found['grpc-message']));
  return new CallError({ code, details, metadata });
}
