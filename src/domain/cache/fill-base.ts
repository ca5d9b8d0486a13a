import type { ImageAddress } from '../model/address.js';
import { describeFile } from '../images/describe-image.js';
import { downloadFacts } from '../fetch/download.js';
import { fetchResume } from '../fetch/fetch-spec.js';
import { fetchTo } from '../fetch/fetch-to.js';
import type { MakePorts } from '../fetch/make-image.js';
import { checksumText } from '../model/checksum.js';
import { isFarSource, isGuarded, sourceText } from '../fetch/source.js';
import type { FetchResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { SharedRates } from './shared-rates.js';
import type { PoolBases } from './pool-bases.js';
import type { CacheKeyRequest } from '../ports/image-cache.js';

export interface FillBaseSpec extends CacheKeyRequest {
  readonly address: ImageAddress;
  /** Id of its download in `rates`. */
  readonly id: string;
}

export type FillBasePorts = MakePorts & { readonly bases: PoolBases };

/**
 * Downloads an image into a pool, for all hosts. It is completed under a private name and gets its
 * own at the end, so no host ever finds a partial one. The first host wins; the others fail with
 * TARGET_EXISTS and use that image. A crash leaves nothing under the final name.
 */
export function fillBase(ports: FillBasePorts, rates: SharedRates): Verb<FillBaseSpec, FetchResult> {
  return {
    name: 'FillBase',
    slot: () => 'io',
    far: isFarSource,
    uses: ({ address }) => [{ role: 'target', address, overwrite: false, allowDependants: false }],
    // The operations that wait for it resume after a restart and request it again.
    resume: { ...fetchResume<FillBaseSpec>(), alone: () => false },

    async run(spec, run) {
      const { address } = spec;
      const into = { target: address, format: 'raw' as const, overwrite: false, attributes: {} };
      const { part, downloaded } = await fetchTo({ ...spec, ...into, rate: () => rates.of(spec.id) }, run, ports);
      await run.step('freeze');
      const checksum = downloaded.checksum === undefined ? '' : checksumText(downloaded.checksum);
      await ports.bases.freeze(part, {
        source: sourceText(spec.source),
        checksum,
        guarded: isGuarded(run.secrets),
        ...(downloaded.freshness === undefined ? {} : { validator: downloaded.freshness }),
      });
      await run.step('seal');
      const made = await part.seal();
      const result: FetchResult = {
        kind: 'fetch',
        info: describeFile(made, await ports.reader.facts(made, 'raw'), false),
        fromCache: false,
        lengthBytes: made.lengthBytes,
        ...downloadFacts(downloaded),
      };
      return run.commit('COMMITTING', { address, made, result }, () => part.publish());
    },
  };
}
