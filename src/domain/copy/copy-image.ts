import type { ImageAddress } from '../address.js';
import type { CopyResult } from '../operations/record.js';
import type { Use, Verb } from '../operations/verb.js';
import type { FileAttributes } from '../ports.js';
import { copyOnHost, planOnHost, type LocalCopyPorts } from './local-copy.js';
import type { Remote } from './remote.js';
import { planByRsync, receiveByRsync, sendByRsync, type RsyncCopyPorts } from './rsync-copy.js';

export type LocalEngine = 'REFLINK' | 'LOCAL_SPARSE';
export type FarEngine = 'NBD_TLS' | 'NBD_SSH' | 'RSYNC_SSH';
export type CopyEngine = 'AUTO' | LocalEngine | FarEngine;

export interface CopySpec {
  readonly source: ImageAddress;
  readonly target: ImageAddress;
  /** Unset: both ends are on this host. */
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

/** A copy of which one end is far. */
export type FarSpec = CopySpec & { readonly remote: Remote };

export type CopyPorts = LocalCopyPorts & RsyncCopyPorts;

/**
 * Copies the bytes of a file: same length, same bytes, holes stay holes. A crash leaves nothing under the final name; at a far host that is
 * reached by ssh a private folder may stay, which the same call finds again.
 */
export function copyImage(ports: CopyPorts): Verb<CopySpec, CopyResult> {
  return {
    name: 'CopyImage',
    slot: () => 'io',
    uses: ({ source, target, remote, overwrite, allowDependants, allowInUse }) => {
      const ends: Record<'source' | 'target', Use> = {
        source: { role: 'source', address: source, allowInUse },
        target: { role: 'target', address: target, overwrite, allowDependants },
      };
      // The far end's address means nothing here.
      return (['source', 'target'] as const).flatMap((end) => (remote?.side === end ? [] : [ends[end]]));
    },

    plan: (spec, resolution, run) =>
      isFar(spec) ? planByRsync(spec, resolution, run, ports) : planOnHost(spec, resolution, ports),

    async run(spec, run) {
      if (!isFar(spec)) return copyOnHost(spec, run, ports);
      return spec.remote.side === 'source' ? receiveByRsync(spec, run, ports) : sendByRsync(spec, run, ports);
    },
  };
}

function isFar(spec: CopySpec): spec is FarSpec {
  return spec.remote !== undefined;
}
