/** RPCs of ImageService that fetch images from elsewhere, and its cache. */
import { evictCachedImages, pinCachedImage, prefetchImage } from '../domain/cache/cache-verbs.js';
import type { CacheEntry } from '../domain/cache/cache-entry.js';
import type { ImageCache, CachePorts } from '../domain/cache/image-cache.js';
import { fetchImage } from '../domain/fetch/fetch-image.js';
import { fetchRawImage } from '../domain/fetch/fetch-raw-image.js';
import type { FromCachePorts } from '../domain/fetch/fetch-from-cache.js';
import type { Operations } from '../domain/operations/engine.js';
import type { CachedImage, ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { fetchParsers, parseEvict, parseList, parsePin, type SourceDefaults } from './fetch-requests.js';
import type { Handlers } from './handler.js';
import { imageInfo } from './image-answers.js';
import { longRunning, quietly, resultOf } from './running.js';

export type FetchPorts = Omit<FromCachePorts, 'cache'> &
  Omit<CachePorts, 'cache'> & {
    readonly sourceDefaults: SourceDefaults;
    readonly imageCache: ImageCache;
  };

type FetchHandlers = Pick<
  Handlers<typeof ImageServiceService>,
  'fetchImage' | 'fetchRawImage' | 'listCachedImages' | 'pinCachedImage' | 'prefetchImage' | 'evictCachedImages'
>;

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;

export function fetchHandlers(operations: Operations, ports: FetchPorts): FetchHandlers {
  const events = longRunning(operations);
  const parse = fetchParsers(ports.sourceDefaults);
  const cache = ports.imageCache;
  const shown = async (entry: CacheEntry) => cachedImage(entry, await cache.inUse(entry), ports.clock());
  const pin = pinCachedImage(cache);
  return {
    fetchImage: events(parse.fetch, fetchImage({ ...ports, cache })),
    fetchRawImage: events(parse.fetchRaw, fetchRawImage(ports)),
    prefetchImage: events(parse.prefetch, prefetchImage(cache)),
    evictCachedImages: events(parseEvict, evictCachedImages(cache)),
    async listCachedImages(request) {
      const { pageSize = DEFAULT_PAGE, pageToken } = parseList(request);
      const all = [...cache.index.all];
      const from = pageToken === '' ? 0 : all.findIndex(({ id }) => id === pageToken) + 1;
      const page = all.slice(from, from + Math.min(pageSize, MAX_PAGE));
      const more = from + page.length < all.length;
      return { images: await Promise.all(page.map(shown)), nextPageToken: more ? (page.at(-1)?.id ?? '') : '' };
    },
    async pinCachedImage(request, caller) {
      const { spec, requestId } = parsePin(request);
      const { cacheId } = await resultOf('cached', operations.start(pin, spec, quietly(requestId), caller));
      return { image: await shown(cache.index.get(cacheId)) };
    },
  };
}

function cachedImage(entry: CacheEntry, inUse: boolean, now: number): CachedImage {
  const [algorithm = '', digest = ''] = entry.checksum.split(':');
  const ageMs = Math.max(0, now - entry.createTimeMs);
  return {
    cacheId: entry.id,
    source: entry.source,
    checksum: { algorithm, digest },
    info: imageInfo(entry.info),
    pinned: entry.pinned,
    useTime: new Date(entry.useTimeMs),
    inUse,
    age: { seconds: BigInt(Math.floor(ageMs / 1000)), nanos: (ageMs % 1000) * 1e6 },
  };
}
