import { posix } from 'node:path';
import type { ImageAddress } from '../model/address.js';
import { scale } from '../model/numbers.js';
import { HostlerError } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import { dataFrom } from '../images/guest-data.js';
import { assertNoSnapshots, changeInPlace, planned, type ChangePorts } from './in-place.js';
import type { ImageResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import { OPENS, unlocked } from '../images/unlocked.js';
import type { Chain, Layer } from '../ports/tools.js';

export interface CommitSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  /** Unset: the nearest layer below. */
  readonly base?: ImageAddress;
  readonly safeCopy: boolean;
  readonly allowDependants: boolean;
}

/**
 * Writes an image's content into a layer below it. The image keeps its data, so that its content is
 * the same at every moment, also if a crash leaves the base half written; the same call completes
 * it.
 */
export function commitImage(ports: ChangePorts): Verb<CommitSpec, ImageResult> {
  return {
    name: 'CommitImage',
    slot: () => 'io',
    uses: (spec) => [
      {
        role: 'inplace',
        address: spec.address,
        format: spec.format,
        chain: 'whole',
        written: (chain) => baseOf(spec, chain),
        safeCopy: spec.safeCopy,
        refuseDependants: () => !spec.allowDependants,
      },
    ],

    async plan(spec, { chain }, run) {
      const base = baseOf(spec, chain(spec.address));
      assertNoSnapshots(above(chain(spec.address), base));
      const needBytes = await dataAbove(chain(spec.address), base, ports, run);
      return planned('commit', why(base), base, needBytes, ports);
    },

    async run(spec, run) {
      run.phase('INSPECTING');
      const chain = unlocked(run.chain(spec.address), run.secrets[OPENS]);
      const written = baseOf(spec, chain);
      assertNoSnapshots(above(chain, written));
      const totalBytes = await dataAbove(chain, written, ports, run.tool());
      await run.reserveFor(written.file, totalBytes);
      const work = { method: 'commit', why: why(written), movedBytes: totalBytes, skippedBytes: 0n };
      const change = { chain, written, safeCopy: spec.safeCopy, cancellable: false, work };
      return changeInPlace(change, run, ports, (image) =>
        ports.changer(chain).commit(
          image,
          chain.indexOf(written),
          run.tool((fraction) => {
            run.progress({ doneBytes: scale(totalBytes, fraction), totalBytes, skippedBytes: 0n });
          }),
        ),
      );
    },
  };
}

/**
 * A volume's parent is a snapshot, which stays as it is: the volume itself becomes standalone.
 * Fails with LAYER_NOT_FOUND.
 */
function baseOf({ address, base }: CommitSpec, [top, ...below]: Chain): Layer {
  const [nearest] = below;
  if (top.file.volume?.parent !== undefined && base === undefined) return top;
  if (nearest === undefined)
    throw new HostlerError('LAYER_NOT_FOUND', `${address} has no backing file to commit into`, {
      facts: { path: address },
    });
  if (base === undefined) return nearest;
  const found = below.find(({ file }) => posix.resolve(file.storedName) === base);
  if (found !== undefined) return found;
  const layers = below.map(({ file }) => file.storedName).join(', ');
  throw new HostlerError('LAYER_NOT_FOUND', `${base} is no layer below ${address}; those are ${layers}`, {
    facts: { path: address, base },
  });
}

function dataAbove(
  chain: Chain,
  base: Layer,
  { tool }: ChangePorts,
  run: Parameters<typeof dataFrom>[3],
): Promise<bigint> {
  return dataFrom(chain, (depth) => depth < above(chain, base).length, tool, run);
}

function above(chain: Chain, base: Layer): readonly Layer[] {
  return chain.slice(0, Math.max(1, chain.indexOf(base)));
}

function why({ file }: Layer): string {
  if (file.volume !== undefined) return 'what it shares with its parent becomes its own';
  return `what the layers above ${file.storedName} hold is written into it`;
}
