import { fetchDirectly } from '../fetch/fetch-directly.js';
import { fetchResume, usesOf, type FetchSpec } from '../fetch/fetch-spec.js';
import { isFarSource, sourceText } from '../fetch/source.js';
import type { FetchResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { BaseClones } from './clone-base.js';
import { publishFromCache, type FromCachePorts } from './from-cache.js';
import type { ImageCache } from './image-cache.js';

export type FetchImagePorts = FromCachePorts & {
  readonly imageCache: ImageCache;
  readonly baseClones: BaseClones;
};

/**
 * Fetches an image, checks it, converts it if another format is requested, and publishes it: from
 * its source, as a clone of a base in the target's pool, or from the cache. A crash leaves nothing
 * under the final name.
 */
export function fetchImage(ports: FetchImagePorts): Verb<FetchSpec, FetchResult> {
  const { baseClones, imageCache } = ports;
  return {
    name: 'FetchImage',
    // With the cache it mostly waits for the operation that downloads the image.
    slot: ({ useCache }) => (useCache ? 'open' : 'io'),
    far: isFarSource,
    uses: usesOf,
    resume: fetchResume(),
    plan: async (spec, { target }) => ({
      kind: 'plan',
      method: 'download',
      why: `${sourceText(spec.source)} is fetched, checked and ${spec.format === undefined ? 'kept as it is' : `made ${spec.format}`}${spec.useCache ? ', by way of the cache' : ''}`,
      needBytes: 0n,
      freeBytes: await ports.files.freeBytes(target(spec.target).directory),
    }),

    async run(spec, run) {
      if (!spec.useCache) return fetchDirectly(spec, run, ports);
      const cloned = await baseClones.fetch(spec, run);
      if (cloned !== undefined) return cloned;
      const lease = await imageCache.obtain(spec, run);
      try {
        return await publishFromCache(spec, lease, run, ports);
      } finally {
        await imageCache.giveBack(lease, run);
      }
    },
  };
}
