import type { ImageAddress } from '../model/address.js';
import type { ByteRange } from '../ports/changes.js';
import { changeInPlace, planned, type ChangePorts } from './in-place.js';
import type { ImageResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import { rest, scale } from '../model/numbers.js';
import type { Chain } from '../ports/tools.js';
import { RoomInPlace } from '../operations/resources/room-in-place.js';

export interface WipeSpec {
  readonly address: ImageAddress;
  readonly mode: 'zero' | 'discard';
  readonly allowDependants: boolean;
}

/**
 * Overwrites all bytes of a file with zeros, or discards its blocks. A crash or cancel leaves it
 * partly wiped, and marked so.
 */
export function wipeImage(ports: ChangePorts): Verb<WipeSpec, ImageResult> {
  return {
    name: 'WipeImage',
    slot: ({ mode }) => (mode === 'zero' ? 'io' : 'none'),
    uses: ({ address, allowDependants }) => [
      {
        role: 'inplace',
        address,
        format: 'raw',
        chain: 'top',
        safeCopy: false,
        refuseDependants: () => !allowDependants,
      },
    ],

    plan({ address, mode }, { chain }) {
      return planned(mode, whyOf(mode), chain(address)[0], 0n, ports);
    },

    async run({ address, mode }, run) {
      const chain = run.chain(address);
      const [written] = chain;
      const extents = mode === 'zero' ? await dataExtents(chain, run, ports) : [];
      const movedBytes = extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);
      const skippedBytes = rest(written.file.lengthBytes, movedBytes);
      const work = { method: mode, why: whyOf(mode), movedBytes, skippedBytes };
      return changeInPlace({ chain, written, safeCopy: false, cancellable: true, work }, run, ports, async () => {
        const tool = run.tool((fraction) => {
          run.progress({ doneBytes: scale(movedBytes, fraction), totalBytes: movedBytes, skippedBytes });
        });
        // Holes stay holes: only the chunks themselves need space.
        const room = new RoomInPlace(run, ports.files, written.file, 0n);
        const before = (offset: bigint, length: bigint) => room.before(offset, length);
        const eraser = ports.eraser(written.file);
        if (mode === 'zero') await eraser.zero(written.file, extents, tool, before);
        else if (written.file.lengthBytes > 0n) await eraser.discard(written.file, tool);
      });
    },
  };
}

/** Holes are zeros, and stay holes. */
async function dataExtents(chain: Chain, run: Run, { tool }: ChangePorts): Promise<ByteRange[]> {
  run.phase('INSPECTING');
  const [{ file }] = chain;
  const extents: ByteRange[] = [];
  for await (const { offsetBytes, lengthBytes, data } of tool.map(chain, run.tool())) {
    // The last sector of an odd length is reported as whole.
    const end = offsetBytes + lengthBytes < file.lengthBytes ? offsetBytes + lengthBytes : file.lengthBytes;
    if (data && end > offsetBytes) extents.push({ offsetBytes, lengthBytes: end - offsetBytes });
  }
  return extents;
}

function whyOf(mode: WipeSpec['mode']): string {
  return mode === 'zero' ? 'zeros are written over all data; holes are zeros already' : 'all blocks are given back';
}
