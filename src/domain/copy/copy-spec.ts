import type { ImageAddress } from '../model/address.js';
import type { Remote } from './remote.js';
import type { FileAttributes } from '../ports/handles.js';

export type CopyEngine = 'AUTO' | LocalEngine | FarEngine;

export type LocalEngine = 'REFLINK' | 'LOCAL_SPARSE';

export type FarEngine = 'NBD_TLS' | 'NBD_SSH' | 'RSYNC_SSH';

export interface CopySpec {
  readonly source: ImageAddress;
  readonly target: ImageAddress;
  /** Unset: source and target are on this host. */
  readonly remote?: Remote;
  readonly engine: CopyEngine;
  readonly compress: boolean;
  readonly verify: boolean;
  readonly preserveAllocation: boolean;
  readonly bytesPerSecond?: bigint;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly attributes: FileAttributes;
  readonly allowInUse: boolean;
}

/** A copy between this host and another. */
export type FarSpec = CopySpec & { readonly remote: Remote };
