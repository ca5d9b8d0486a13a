/** The client of other agents. */
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import type { FarAgent, FarAgents } from '../../domain/copy/agents.js';
import { HostlerError } from '../../domain/model/errors.js';
import { ImageServiceClient } from '../../gen/hostler/v1/image_service.js';
import { OperationServiceClient } from '../../gen/hostler/v1/operation_service.js';
import { onBehalfOf } from '../../protocol/on-behalf-of.js';
import { channelCredentials } from '../../protocol/channel.js';
import { TlsFilesBroken, type TlsPaths } from '../../protocol/certificate-files.js';
import { type Peer, type Patience, PeerAgent } from './peer-agent.js';
import { tracedCall } from './traced-calls.js';

export interface PeersConfig {
  readonly peers: readonly Peer[];
  /** The name by which other hosts know this agent. */
  readonly ownHost: string | undefined;
  readonly tls: TlsPaths | undefined;
  readonly patience: Patience;
}

/**
 * Limit for one message of a peer. A page of 2,000 extents has at most 76 KB, all others are
 * shorter; 1 MiB of extents blocked the main thread for 75 ms.
 */
const MAX_MESSAGE_BYTES = 96 * 1024;
/** Digests of large images, and copies, may take any time. */
const KEEPALIVE = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 0,
};

/**
 * Clients of the agents of other hosts ([[peers]]). Each `connect` opens a new channel, which the
 * caller closes.
 */
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
    // Read for each connection, so that a renewed certificate is used.
    const proof = await channelCredentials(tls).catch((cause: unknown) => {
      if (!(cause instanceof TlsFilesBroken)) throw cause;
      throw new HostlerError('REMOTE_REFUSED', `${host} refuses the certificate of this agent: ${cause.message}`, {
        facts: { host },
        cause,
      });
    });
    const options = {
      ...KEEPALIVE,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.ssl_target_name_override': peer.host,
      'grpc.default_authority': peer.host,
      // Otherwise the next call would share a broken connection to the address, and its backoff.
      'grpc.use_local_subchannel_pool': 1,
      interceptors: [tracedCall, ...(caller === undefined ? [] : [tellFor(caller)])],
    };
    return new PeerAgent(
      peer,
      ownHost,
      this.config.patience,
      new ImageServiceClient(peer.address, proof, options),
      new OperationServiceClient(peer.address, proof, options),
    );
  }

  #find(host: string): Peer | undefined {
    return this.config.peers.find((peer) => peer.host === host);
  }
}

/** Adds the caller on whose behalf each call is made. */
function tellFor(caller: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.merge(onBehalfOf(caller));
        next(metadata, listener);
      },
    });
}
