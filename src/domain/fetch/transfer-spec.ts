import type { ImageAddress } from '../model/address.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Transfers } from '../ports/transfers.js';
import type { TransferRules } from '../ports/sources.js';
import type { Rate } from '../transfer/pace.js';
import type { Clock } from '../ports/images.js';
import type { Reason } from '../model/reasons/reasons.js';

export interface TransferSpec {
  readonly target: ImageAddress;
  /** For people. */
  readonly what: string;
  readonly checksum: ExpectedChecksum | undefined;
  /** How long the source says that it is; unset: it says so with the content, or not at all. */
  readonly lengthBytes?: bigint;
  /** The file may not be longer. */
  readonly maxBytes: bigint;
  /** The source is asked with a caller's secrets. */
  readonly guarded: boolean;
  /** Unset: as fast as it comes. */
  readonly rate?: Rate;
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
  /** Of all bytes as they came. */
  readonly checksum: ExpectedChecksum;
  /** For a later question whether it still is this content. */
  readonly freshness?: string;
}

/** What trying again may help with. */
export const TRANSPORT: readonly Reason[] = ['SOURCE_UNAVAILABLE', 'STALLED'];
