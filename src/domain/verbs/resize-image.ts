import type { ImageAddress } from '../model/address.js';
import { HostlerError, unsupported } from '../model/errors.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { ImageInfo } from '../model/image-info.js';
import { assertHeader, changeInPlace, planned, unchanged, type ChangePorts } from './in-place.js';
import type { ImageResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import { OPENS, unlocked } from '../images/unlocked.js';
import type { Chain } from '../ports/tools.js';

export interface ResizeSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly sizeBytes: bigint;
  readonly allowShrink: boolean;
  readonly preallocation: Preallocation;
  readonly safeCopy: boolean;
  readonly allowDependants: boolean;
}

/**
 * Changes the virtual size. After a crash it is the old or the new one, and the same call completes
 * it.
 */
export function resizeImage(ports: ChangePorts): Verb<ResizeSpec, ImageResult> {
  return {
    name: 'ResizeImage',
    slot: ({ preallocation }) => (preallocation === 'full' ? 'io' : 'none'),
    uses: ({ address, format, safeCopy, allowDependants, sizeBytes }) => [
      {
        role: 'inplace',
        address,
        format,
        chain: 'whole',
        safeCopy,
        refuseDependants: ([{ facts }]) => !allowDependants && sizeBytes < facts.virtualSizeBytes,
      },
    ],

    async plan(spec, { chain }) {
      const { grownBytes, why } = sizeChange(spec, chain(spec.address));
      return planned('resize', why, chain(spec.address)[0], needOf(spec, grownBytes), ports);
    },

    async run(spec, run) {
      const chain = unlocked(run.chain(spec.address), run.secrets[OPENS]);
      const [written] = chain;
      const { grownBytes, sizeBytes, why } = sizeChange(spec, chain);
      if (sizeBytes !== spec.sizeBytes)
        run.warn({ reason: 'SIZE_ROUNDED_UP', message: `sizes are multiples of ${String(SECTOR_BYTES)} bytes` });
      if (grownBytes === 0n) return unchanged(written, why, run, ports);
      await run.reserveFor(written.file, needOf(spec, grownBytes));
      const added = grownBytes > 0n ? grownBytes : 0n;
      // `full` means that zeros are written everywhere.
      const movedBytes = spec.preallocation === 'full' ? added : 0n;
      const work = { method: 'resize', why, movedBytes, skippedBytes: added - movedBytes };
      const request = { sizeBytes, shrink: grownBytes < 0n, preallocation: spec.preallocation };
      const assertDone = (now: ImageInfo) => {
        const { virtualSizeBytes: size } = now;
        // Some formats round up to their own units.
        const done = size >= sizeBytes && (grownBytes > 0n || size < written.facts.virtualSizeBytes);
        assertHeader(done, now, `the header says ${String(size)} bytes`);
      };
      return changeInPlace({ ...spec, chain, written, cancellable: false, work, assertDone }, run, ports, (image) =>
        ports.changer(chain).resize(image, request, run.tool()),
      );
    },
  };
}

/** By how much it grows. Fails with WOULD_SHRINK if it may not become smaller. */
function sizeChange({ address, sizeBytes: asked, allowShrink, preallocation }: ResizeSpec, [{ facts }]: Chain) {
  const [sizeBytes, current] = [roundUp(asked, SECTOR_BYTES), facts.virtualSizeBytes];
  const grownBytes = sizeBytes - current;
  const figures = `${String(current)} bytes to ${String(sizeBytes)}`;
  if (grownBytes < 0n && !allowShrink)
    throw new HostlerError('WOULD_SHRINK', `${address} would shrink from ${figures}: the data beyond it is lost`, {
      facts: { path: address, current: String(current), asked: String(sizeBytes) },
    });
  if (grownBytes < 0n && preallocation !== 'off')
    throw unsupported('there is nothing to preallocate when an image shrinks');
  const why =
    grownBytes === 0n ? `it has ${String(current)} bytes already` : `the virtual size changes from ${figures}`;
  return { sizeBytes, grownBytes, why };
}

function needOf({ preallocation }: ResizeSpec, grownBytes: bigint): bigint {
  return grownBytes > 0n && (preallocation === 'full' || preallocation === 'falloc') ? grownBytes : 0n;
}
