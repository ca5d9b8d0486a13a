import type { ImageAddress } from '../model/address.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Follower, Transfers } from '../ports/transfers.js';
import type { TransferRules } from '../ports/sources.js';
import type { Rate } from '../transfer/pace.js';
import type { Clock } from '../ports/images.js';
import type { Reason } from '../model/reasons/reasons.js';

export interface TransferSpec {
  readonly target: ImageAddress;
  /** Description for people. */
  readonly what: string;
  readonly checksum: ExpectedChecksum | undefined;
  /** Length that the source announced; unset: it is announced with the content, or not at all. */
  readonly lengthBytes?: bigint;
  /** Maximum length of the file. */
  readonly maxBytes: bigint;
  /** Whether the source is asked with a caller's secrets. */
  readonly guarded: boolean;
  /** Unset: no limit. */
  readonly rate?: Rate;
  /** Hears what has arrived. */
  readonly follower?: Follower;
}

export interface FetchTransferPorts {
  readonly transfers: Transfers;
  readonly rules: TransferRules;
  readonly clock: Clock;
  readonly onNetworkBytes: (bytes: number) => void;
}

export interface Transferred {
  readonly lengthBytes: bigint;
  readonly networkBytes: bigint;
  readonly zeroBytes: bigint;
  /** Checksum of all bytes as received. */
  readonly checksum: ExpectedChecksum;
  /** For a later check whether the source still has this content. */
  readonly freshness?: string;
}

/** Failures that a retry may fix. */
export const TRANSPORT: readonly Reason[] = ['SOURCE_UNAVAILABLE', 'STALLED'];

/** Tells each of them. */
export function allOf(...followers: readonly (Follower | undefined)[]): Follower {
  return {
    reach: (offset) => {
      for (const each of followers) each?.reach(offset);
    },
    restart: () => {
      for (const each of followers) each?.restart();
    },
  };
}
