import { once } from 'node:events';
import { resolve } from 'node:path';
import { connectivityState, credentials, type ClientWritableStream, type ServiceError } from '@grpc/grpc-js';
import { CommandServiceClient } from '../gen/hostler/v1/command_service.js';
import { FileServiceClient } from '../gen/hostler/v1/file_service.js';
import { HostInfoServiceClient } from '../gen/hostler/v1/host_info_service.js';
import { ImageServiceClient } from '../gen/hostler/v1/image_service.js';
import { OperationServiceClient } from '../gen/hostler/v1/operation_service.js';
import { channelCredentials } from '../protocol/channel.js';
import type { TlsPaths } from '../protocol/certificate-files.js';
import type { ConnectionFailure } from '../protocol/connection-failure.js';
import { UsageError } from './failure.js';

/** Flow-control window: with the default of 64 KiB downloads take twice as long. */
const BULK = { 'grpc-node.flow_control_window': 1024 * 1024 };

/** The clients of one daemon. */
export interface Connection {
  readonly address: string;
  /**
   * The address that a word of the command line means: an absolute path, or `rbd:…`. Relative ones
   * are in the default root of the daemon's context; without one, and those that begin with a dot,
   * in the folder in which the command runs. Fails with UsageError if it is empty.
   */
  readonly at: (word: string) => string;
  readonly commands: CommandServiceClient;
  readonly files: FileServiceClient;
  readonly host: HostInfoServiceClient;
  readonly images: ImageServiceClient;
  readonly operations: OperationServiceClient;
  /**
   * Never resolves. Fails with ConnectionTimeout if there is no connection after this time without
   * an answer of the daemon.
   */
  silence(ms: number): Promise<never>;
  close(): void;
}

/** Some process accepted the connection and does not answer. */
export class ConnectionTimeout extends Error {
  override readonly name = 'ConnectionTimeout';
  readonly failure: ConnectionFailure = { reason: 'NO_ANSWER', what: this.message };
}

const MAX_PORT = 65535;

/**
 * The gRPC target for `unix:///PATH`, `tcp://HOST:PORT` or HOST:PORT. Fails with UsageError if it
 * is none of these, or a socket with TLS files.
 */
export function parseAddress(address: string, tls: TlsPaths | undefined): string {
  const target = address.startsWith('tcp://') ? address.slice('tcp://'.length) : address;
  const [, port = '0'] = /^[^/]+:(\d{1,5})$/.exec(target) ?? [];
  if (!/^unix:\/\/\/.|^[^/]+:\d{1,5}$/.test(target) || Number(port) > MAX_PORT) {
    throw new UsageError(`--address ${address}: must be unix:///PATH or tcp://HOST:PORT`);
  }
  if (tls !== undefined && target.startsWith('unix:')) throw new UsageError('unix sockets do not speak TLS');
  return target;
}

/**
 * Connects to an address in the form of `parseAddress`; with TLS files, by mutual TLS. Fails as
 * `parseAddress`, and with TlsFilesBroken.
 */
export async function connect(address: string, tls?: TlsPaths, root?: string): Promise<Connection> {
  const target = parseAddress(address, tls);
  const proof = tls === undefined ? credentials.createInsecure() : await channelCredentials(tls);
  const [commands, files, host, images, operations] = [
    new CommandServiceClient(target, proof),
    new FileServiceClient(target, proof),
    new HostInfoServiceClient(target, proof),
    new ImageServiceClient(target, proof, BULK),
    new OperationServiceClient(target, proof),
  ];
  const clients = [commands, files, host, images, operations];
  let timer: NodeJS.Timeout | undefined;
  return {
    address,
    at: (word) => addressOf(word, root),
    commands,
    files,
    host,
    images,
    operations,
    silence: (ms) =>
      new Promise((_, reject) => {
        timer = setTimeout(() => {
          const states = clients.map((client) => client.getChannel().getConnectivityState(false));
          if (states.includes(connectivityState.READY) || !states.includes(connectivityState.CONNECTING)) return;
          reject(new ConnectionTimeout(`nobody has answered for ${String(ms / 1000)} s`));
        }, ms);
      }),
    close() {
      clearTimeout(timer);
      for (const client of clients) client.close();
    },
  };
}

/** Fails with UsageError for an empty word: it would be the whole folder. */
function addressOf(word: string, root: string | undefined): string {
  if (word === '') throw new UsageError('a path is empty');
  if (word.startsWith('rbd:')) return word;
  return root === undefined || /^\.{1,2}(?:\/|$)/.test(word) ? resolve(word) : resolve(root, word);
}

/** A unary call as a promise. */
export function ask<Response>(
  call: (callback: (error: ServiceError | null, response?: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => {
      if (response === undefined) reject(error ?? new Error('neither an answer nor an error'));
      else resolve(response);
    });
  });
}

/** A call with streamed requests; `produce` sends them as fast as they are accepted. */
export async function askStreaming<Response, Request>(
  call: (callback: (error: ServiceError | null, response?: Response) => void) => ClientWritableStream<Request>,
  produce: (send: (request: Request) => Promise<void>) => Promise<void>,
): Promise<Response> {
  let stream: ClientWritableStream<Request> | undefined;
  const over = new AbortController();
  const answer = ask<Response>((done) => (stream = call(done)));
  // Awaited below; the daemon may answer, with an error, before everything is sent.
  const ended = answer.then(
    () => {
      over.abort();
    },
    () => {
      over.abort();
    },
  );
  const sending = produce(async (request) => {
    over.signal.throwIfAborted();
    if (stream?.write(request) === false) await once(stream, 'drain', { signal: over.signal });
  }).then(
    () => stream?.end(),
    (error: unknown) => {
      if (over.signal.aborted) return;
      stream?.cancel();
      throw error;
    },
  );
  await Promise.race([ended, sending]);
  return answer;
}
