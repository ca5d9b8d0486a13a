/** The agent of another host, and the requests to it. */
import { Metadata, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import type { ImageAddress } from '../../domain/model/address.js';
import type { DataExtent } from '../../domain/model/block-digest.js';
import type { FarAgent, FarCopy, FarExport, FarProgress, PullRequest } from '../../domain/copy/agents.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import type { OperationPhase as Phase, Progress, Warning } from '../../domain/operations/record.js';
import type { Plan } from '../../domain/operations/results.js';
import type { ImageServiceClient } from '../../gen/hostler/v1/image_service.js';
import {
  CopyEngine,
  CopyImageRequest,
  RemoteSide,
  type CloseExportResponse,
  type MapImageResponse,
  type OpenExportResponse,
} from '../../gen/hostler/v1/image_service.js';
import { OperationPhase, OperationState, type OperationEvent } from '../../gen/hostler/v1/operation.js';
import type { OperationServiceClient } from '../../gen/hostler/v1/operation_service.js';
import { type CancelOperationResponse, type GetOperationResponse } from '../../gen/hostler/v1/operation_service.js';
import { farFailure } from './far-status.js';
import { exportOf, nonsense } from './far-export.js';
import { unheardWarnings, warningsOf } from './far-warnings.js';
import { messagesOf } from './patient-stream.js';

export interface Peer {
  /** The name of the host in requests and in its certificate. */
  readonly host: string;
  /** HOST:PORT */
  readonly address: string;
  readonly trusted: boolean;
  /** CIDR ranges in which it may serve exports, in addition to its own address. */
  readonly exportNetworks: readonly string[];
}

/** Time limits for peers. */
export interface Patience {
  /** For a call with a single answer. */
  readonly answerMs: number;
  /** For an operation, or a list, without news. */
  readonly silenceMs: number;
}
/** sha256 in hex. */
const DIGEST = /^[0-9a-f]{64}$/;
/** The phases of a copy in which progress is shown. */
const PHASES = new Map<OperationPhase, Phase>([
  [OperationPhase.OPERATION_PHASE_COPYING, 'COPYING'],
  [OperationPhase.OPERATION_PHASE_VERIFYING, 'VERIFYING'],
]);
const NOBODY_CANCELS = new AbortController().signal;

/** Fewer extents do not count as progress; an agent sends 2,000 at a time. */
const LEAST_EXTENTS = 1000;

/** Whether at least this many have arrived since the last time that it was true. */
function enough<T>(least: number, countOf: (message: T) => number): (message: T) => boolean {
  let count = 0;
  return (message) => {
    count += countOf(message);
    if (count < least) return false;
    count = 0;
    return true;
  };
}

/**
 * One agent, with its own channel, which `close` closes. Fails as its RPCs do, with
 * REMOTE_UNREACHABLE and STALLED.
 */
export class PeerAgent implements FarAgent {
  constructor(
    private readonly peer: Peer,
    private readonly ownHost: string,
    private readonly patience: Patience,
    private readonly images: ImageServiceClient,
    private readonly operations: OperationServiceClient,
  ) {}

  get trusted(): boolean {
    return this.peer.trusted;
  }

  async openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport> {
    const request = { path: source, peer: this.ownHost, allowInUse, requestId: '' };
    let connected = '';
    const answer = await this.#ask<OpenExportResponse>((done) => {
      const call = this.images.openExport(request, new Metadata(), this.#deadline(), (error, got) => {
        connected = call.getPeer();
        done(error, got);
      });
      return call;
    }, signal);
    return exportOf(answer, { ...this.peer, connected });
  }

  async *map(source: ImageAddress, signal: AbortSignal): AsyncGenerator<DataExtent> {
    const pages = this.#messages(
      this.images.mapImage({ path: source, format: 'raw', secret: undefined }),
      signal,
      enough(LEAST_EXTENTS, ({ extents }: MapImageResponse) => extents.length),
    );
    try {
      for await (const { extents } of pages) {
        if (extents.length === 0) throw nonsense(this.peer.host, 'a page of extents without any');
        yield* extents;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw farFailure(this.peer.host, error);
    }
  }

  async closeExport(name: string, signal: AbortSignal): Promise<void> {
    await this.#ask<CloseExportResponse>(
      (done) => this.images.closeExport({ exportId: name, requestId: '' }, new Metadata(), this.#deadline(), done),
      signal,
    ).catch((error: unknown) => {
      const { host } = this.peer;
      if (asHostlerError(error).reason !== 'EXPORT_NOT_FOUND') throw error;
      // The peer closed the export because it was idle too long, or the peer restarted. The export
      // can be opened again.
      throw new HostlerError('REMOTE_UNREACHABLE', `${host} has ended the export meanwhile`, {
        facts: { host },
        cause: error,
      });
    });
  }

  async digest(source: ImageAddress, signal: AbortSignal): Promise<string> {
    const peer = this.ownHost;
    const request = { path: source, peer, detach: false, labels: {}, planOnly: false, requestId: '' };
    const last = await this.#follow(this.images.digestImage(request), signal, () => undefined);
    const result = last.result?.result;
    if (result?.$case !== 'digest' || !DIGEST.test(result.value.digest))
      throw nonsense(this.peer.host, 'no digest at the end of DigestImage');
    return result.value.digest;
  }

  async pull(request: PullRequest, signal: AbortSignal, onProgress: FarProgress): Promise<FarCopy> {
    const last = await this.#follow(this.images.copyImage(wireRequest(request, this.ownHost)), signal, onProgress);
    const result = last.result?.result;
    if (result?.$case !== 'copy') throw nonsense(this.peer.host, 'no result at the end of CopyImage');
    return {
      ...result.value,
      replayed: last.result?.replayed === true,
      warnings: await this.#warnings(last.operationId, signal),
    };
  }

  /** The events of an operation do not contain its warnings. */
  async #warnings(operationId: string, signal: AbortSignal): Promise<readonly Warning[]> {
    const { host } = this.peer;
    try {
      const answer = await this.#ask<GetOperationResponse>(
        (done) => this.operations.getOperation({ operationId }, new Metadata(), this.#deadline(), done),
        signal,
      );
      return warningsOf(host, answer);
    } catch (error) {
      // The file is published there: neither a failure nor a cancel can undo that.
      return [unheardWarnings(host, asHostlerError(error).message)];
    }
  }

  async planPull(request: PullRequest, signal: AbortSignal): Promise<Omit<Plan, 'kind'>> {
    const wire = { ...wireRequest(request, this.ownHost), planOnly: true, detach: false };
    const last = await this.#follow(this.images.copyImage(wire), signal, () => undefined);
    const result = last.result?.result;
    if (result?.$case !== 'plan') throw nonsense(this.peer.host, 'no plan at the end of CopyImage');
    return result.value;
  }

  close(): Promise<void> {
    this.images.close();
    this.operations.close();
    return Promise.resolve();
  }

  #messages<T>(
    stream: ClientReadableStream<T>,
    signal: AbortSignal,
    isNew?: (message: T) => boolean,
  ): AsyncGenerator<T, void> {
    const { host } = this.peer;
    const { silenceMs } = this.patience;
    const onSilence = () => {
      const text = `${host}: no progress was reported for ${String(silenceMs / 1000)} s`;
      return new HostlerError('STALLED', text, { facts: { host, silence_ms: String(silenceMs) } });
    };
    return messagesOf(stream, signal, silenceMs, onSilence, isNew);
  }

  /**
   * Returns the last event. A cancel here, or giving up, cancels the operation on the peer and
   * waits for that; it may come too late.
   */
  async #follow(
    stream: ClientReadableStream<OperationEvent>,
    signal: AbortSignal,
    onProgress: FarProgress,
  ): Promise<OperationEvent> {
    let last: OperationEvent | undefined;
    try {
      for await (const event of this.#messages(stream, signal)) {
        last = event;
        if (event.progress !== undefined) onProgress(progressOf(event.progress), PHASES.get(event.phase));
      }
    } catch (error) {
      // The call's own error is the end of the operation, or of the connection.
      if (!(error instanceof HostlerError)) throw farFailure(this.peer.host, error);
      const done = last === undefined ? undefined : await this.#cancel(last.operationId);
      if (done === undefined) throw error;
      return done;
    }
    if (last === undefined)
      throw new HostlerError('REMOTE_UNREACHABLE', `${this.peer.host} ended the call without a message`);
    return last;
  }

  /**
   * Cancels the operation on the peer. Returns its last event if it succeeded nevertheless. If the
   * agent is gone there is nothing to cancel.
   */
  async #cancel(operationId: string): Promise<OperationEvent | undefined> {
    try {
      await this.#ask<CancelOperationResponse>(
        (done) => this.operations.cancelOperation({ operationId, labels: {} }, new Metadata(), this.#deadline(), done),
        NOBODY_CANCELS,
      ).catch((error: unknown) => {
        // The file is being published at this moment.
        if (asHostlerError(error).reason !== 'NOT_CANCELLABLE') throw error;
      });
      const limit = AbortSignal.timeout(this.patience.answerMs);
      let last: OperationEvent | undefined;
      for await (const event of this.#messages(this.operations.watchOperation({ operationId }), limit)) last = event;
      return last?.state === OperationState.OPERATION_STATE_SUCCEEDED ? last : undefined;
    } catch {
      // The outcome is unknown; the peer cleans up by itself.
      return undefined;
    }
  }

  #deadline() {
    return { deadline: new Date(Date.now() + this.patience.answerMs) };
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

function wireRequest({ bytesPerSecond, ...request }: PullRequest, ownHost: string): CopyImageRequest {
  return CopyImageRequest.fromPartial({
    ...request,
    remote: { host: ownHost, agent: true },
    remoteSide: RemoteSide.REMOTE_SIDE_SOURCE,
    engine: CopyEngine.COPY_ENGINE_NBD_TLS,
    bandwidthBytesPerSecond: bytesPerSecond,
    // The operation on the peer continues without this call, and the next attempt finds it.
    detach: true,
  });
}

function progressOf({ doneBytes, totalBytes, skippedBytes }: NonNullable<OperationEvent['progress']>): Progress {
  return { doneBytes, skippedBytes, ...(totalBytes === undefined ? {} : { totalBytes }) };
}
