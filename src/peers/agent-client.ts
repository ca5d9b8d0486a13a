/** Other agents, as a client of theirs. */
import {
  InterceptingCall,
  Metadata,
  type ClientReadableStream,
  type Interceptor,
  type ServiceError,
} from '@grpc/grpc-js';
import type { ImageAddress } from '../domain/address.js';
import type { Stretch } from '../domain/block-digest.js';
import type { FarAgent, FarAgents, FarExport, PullRequest } from '../domain/copy/agents.js';
import { HostlerError, asHostlerError } from '../domain/errors.js';
import type { CopyResult, Plan, Progress } from '../domain/operations/record.js';
import {
  CopyEngine,
  CopyImageRequest,
  ImageServiceClient,
  RemoteSide,
  type CloseExportResponse,
  type MapImageResponse,
  type OpenExportResponse,
} from '../gen/hostler/v1/image_service.js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { OperationServiceClient } from '../gen/hostler/v1/operation_service.js';
import { onBehalfOf } from '../tls/on-behalf-of.js';
import { channelCredentials } from '../tls/channel.js';
import { TlsFilesBroken, type TlsPaths } from '../tls/files.js';
import { farFailure } from './far-status.js';

export interface Peer {
  /** As requests and its certificate name it. */
  readonly host: string;
  /** HOST:PORT */
  readonly address: string;
  readonly trusted: boolean;
}

export interface PeersConfig {
  readonly peers: readonly Peer[];
  /** By which others know this agent. */
  readonly ownHost: string | undefined;
  readonly tls: TlsPaths | undefined;
}

/** A call that answers once. */
const CALL_MS = 60_000;
/** Digests of large images, and copies, are as long as they are. */
const KEEPALIVE = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 0,
};

export class PeerAgents implements FarAgents {
  constructor(private readonly config: PeersConfig) {}

  knows(host: string): boolean {
    const { tls, ownHost } = this.config;
    return this.#find(host) !== undefined && tls !== undefined && ownHost !== undefined;
  }

  async connect(host: string, caller?: string): Promise<FarAgent> {
    const { tls, ownHost } = this.config;
    const peer = this.#find(host);
    if (peer === undefined || tls === undefined || ownHost === undefined)
      throw new HostlerError(
        'REMOTE_NOT_TRUSTED',
        `no [[peers]] of the configuration is ${host}, or [tls] or [exports] is missing`,
        { facts: { host } },
      );
    // Made anew, so that a renewed certificate is taken up.
    const proof = await channelCredentials(tls).catch((cause: unknown) => {
      if (!(cause instanceof TlsFilesBroken)) throw cause;
      throw new HostlerError('REMOTE_REFUSED', `${host} would not take our certificate: ${cause.message}`, {
        facts: { host },
        cause,
      });
    });
    const options = {
      ...KEEPALIVE,
      'grpc.ssl_target_name_override': peer.host,
      'grpc.default_authority': peer.host,
      // Otherwise a broken line to one address is shared, with its backoff, by the next call.
      'grpc.use_local_subchannel_pool': 1,
      interceptors: caller === undefined ? [] : [tellFor(caller)],
    };
    return new PeerAgent(
      peer,
      ownHost,
      new ImageServiceClient(peer.address, proof, options),
      new OperationServiceClient(peer.address, proof, options),
    );
  }

  #find(host: string): Peer | undefined {
    return this.config.peers.find((peer) => peer.host === host);
  }
}

/** Every call says for whom it is. */
function tellFor(caller: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.merge(onBehalfOf(caller));
        next(metadata, listener);
      },
    });
}

class PeerAgent implements FarAgent {
  constructor(
    private readonly peer: Peer,
    private readonly ownHost: string,
    private readonly images: ImageServiceClient,
    private readonly operations: OperationServiceClient,
  ) {}

  get trusted(): boolean {
    return this.peer.trusted;
  }

  async openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport> {
    const request = { path: source, peer: this.ownHost, allowInUse, requestId: '' };
    const answer = await this.#ask<OpenExportResponse>(
      (done) => this.images.openExport(request, new Metadata(), deadline(), done),
      signal,
    );
    const cut = answer.address.lastIndexOf(':');
    const given = answer.address.slice(0, cut);
    const host = given === '' ? this.peer.address.slice(0, this.peer.address.lastIndexOf(':')) : given;
    return {
      place: { host: host.replaceAll(/[[\]]/g, ''), port: Number(answer.address.slice(cut + 1)), key: answer.key },
      name: answer.exportId,
      lengthBytes: answer.lengthBytes,
      fingerprint: answer.fingerprint,
    };
  }

  async *map(source: ImageAddress, signal: AbortSignal): AsyncGenerator<Stretch> {
    const stream = this.images.mapImage({ path: source, format: 'raw' });
    const pages: AsyncIterable<MapImageResponse> = stream;
    const onAbort = () => stream.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for await (const { extents } of pages) yield* extents;
    } catch (error) {
      signal.throwIfAborted();
      throw farFailure(this.peer.host, error);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async closeExport(name: string, signal: AbortSignal): Promise<void> {
    await this.#ask<CloseExportResponse>(
      (done) => this.images.closeExport({ exportId: name, requestId: '' }, new Metadata(), deadline(), done),
      signal,
    );
  }

  async digest(source: ImageAddress, signal: AbortSignal): Promise<string> {
    const request = { path: source, detach: false, labels: {}, planOnly: false, requestId: '' };
    const last = await this.#follow(this.images.digestImage(request), signal, () => undefined);
    const result = last.result?.result;
    if (result?.$case !== 'digest') throw new HostlerError('BUG', `${this.peer.host} gave no digest`);
    return result.value.digest;
  }

  async pull(
    request: PullRequest,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<Omit<CopyResult, 'kind' | 'target'>> {
    const last = await this.#follow(this.images.copyImage(wireRequest(request, this.ownHost)), signal, onProgress);
    const result = last.result?.result;
    if (result?.$case !== 'copy') throw new HostlerError('BUG', `${this.peer.host} gave no result`);
    return result.value;
  }

  async planPull(request: PullRequest, signal: AbortSignal): Promise<Omit<Plan, 'kind'>> {
    const wire = { ...wireRequest(request, this.ownHost), planOnly: true, detach: false };
    const last = await this.#follow(this.images.copyImage(wire), signal, () => undefined);
    const result = last.result?.result;
    if (result?.$case !== 'plan') throw new HostlerError('BUG', `${this.peer.host} gave no plan`);
    const { method, why, moveBytes, needBytes, freeBytes } = result.value;
    const free = freeBytes === undefined ? {} : { freeBytes };
    return { method, why, needBytes, ...free, ...(moveBytes === undefined ? {} : { moveBytes }) };
  }

  close(): Promise<void> {
    this.images.close();
    this.operations.close();
    return Promise.resolve();
  }

  /** The last event. A cancel here is a cancel there, and waited for. */
  async #follow(
    stream: ClientReadableStream<OperationEvent>,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<OperationEvent> {
    const events: AsyncIterable<OperationEvent> = stream;
    let last: OperationEvent | undefined;
    const onAbort = () => stream.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for await (const event of events) {
        last = event;
        if (event.progress !== undefined) onProgress(progressOf(event.progress));
      }
    } catch (error) {
      if (!signal.aborted) throw farFailure(this.peer.host, error);
      if (last !== undefined) await this.#cancel(last.operationId);
      throw asHostlerError(signal.reason);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    if (last === undefined) throw new HostlerError('REMOTE_UNREACHABLE', `${this.peer.host} said nothing`);
    return last;
  }

  /** One that has ended already, or whose agent has gone, needs none. */
  async #cancel(operationId: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.operations.cancelOperation({ operationId, labels: {} }, new Metadata(), deadline(), () => {
        resolve();
      });
    });
  }

  #ask<T>(
    call: (done: (error: ServiceError | null, answer: T) => void) => { cancel(): void },
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const running = call((error, answer) => {
        signal.removeEventListener('abort', onAbort);
        if (error === null) resolve(answer);
        else reject(signal.aborted ? asHostlerError(signal.reason) : farFailure(this.peer.host, error));
      });
      const onAbort = () => running.cancel();
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

function deadline() {
  return { deadline: new Date(Date.now() + CALL_MS) };
}

function wireRequest({ bytesPerSecond, ...request }: PullRequest, ownHost: string): CopyImageRequest {
  return CopyImageRequest.fromPartial({
    ...request,
    remote: { host: ownHost, agent: true },
    remoteSide: RemoteSide.REMOTE_SIDE_SOURCE,
    engine: CopyEngine.COPY_ENGINE_NBD_TLS,
    bandwidthBytesPerSecond: bytesPerSecond,
    // It goes on when we are gone, and our next try finds it.
    detach: true,
  });
}

function progressOf({ doneBytes, totalBytes, skippedBytes }: NonNullable<OperationEvent['progress']>): Progress {
  return { doneBytes, skippedBytes, ...(totalBytes === undefined ? {} : { totalBytes }) };
}
