import type { ImageAddress } from '../model/address.js';
import type { ImageFormat } from '../model/image-format.js';
import { scale } from '../model/numbers.js';
import { planned, type ChangePorts } from './in-place.js';
import type { CompareResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import { OPENS, OPENS_SECOND, unlocked } from '../images/unlocked.js';

export interface CompareSpec {
  readonly first: ImageAddress;
  readonly firstFormat: ImageFormat;
  readonly second: ImageAddress;
  readonly secondFormat: ImageFormat;
  /** Sizes and allocation must be equal too. */
  readonly strict: boolean;
}

/** Whether two images have the same content, by extents. */
export function compareImages(ports: ChangePorts): Verb<CompareSpec, CompareResult> {
  return {
    name: 'CompareImages',
    slot: () => 'io',
    uses: ({ first, firstFormat, second, secondFormat }) => [
      { role: 'source', address: first, format: firstFormat, allowInUse: false },
      { role: 'source', address: second, format: secondFormat, allowInUse: false },
    ],

    plan({ first }, { chain }) {
      return planned('compare', 'the extents of both are read', chain(first)[0], 0n, ports);
    },

    async run({ first, second, strict }, run) {
      run.phase('INSPECTING');
      await ports.reader.assertChainWhole([...run.chain(first), ...run.chain(second)], run.signal);
      run.phase('VERIFYING');
      const sizes = [first, second].map((image) => run.chain(image)[0].facts.virtualSizeBytes);
      const totalBytes = sizes.reduce((one, other) => (one > other ? one : other));
      // Holes are compared by the extent maps, and count as well.
      const show = (doneBytes: bigint) => run.progress({ doneBytes, totalBytes, skippedBytes: 0n });
      show(0n);
      await run.step('compare');
      const found = await ports.comparer.compare(
        unlocked(run.chain(first), run.secrets[OPENS]),
        unlocked(run.chain(second), run.secrets[OPENS_SECOND], OPENS_SECOND),
        strict,
        run.tool((fraction) => show(scale(totalBytes, fraction))),
      );
      if (found.equal) show(totalBytes);
      return { kind: 'compare', ...found };
    },
  };
}
