/** Handlers of ImageService for fetching images, and for the cache. */
import { byId, byUse, pageAfter } from '../domain/cache/cache-page.js';
import { BUILT_IN } from '../domain/access/role.js';
import type { Caller } from '../domain/access/caller.js';
import { evictCachedImages, pinCachedImage, prefetchImage } from '../domain/cache/cache-verbs.js';
import type { CachePorts } from '../domain/cache/image-cache.js';
import { isBaseEntryId, type BaseEntry, type PoolBases } from '../domain/cache/pool-bases.js';
import { fetchImage, type FetchImagePorts } from '../domain/cache/fetch-image.js';
import { fetchRawImage } from '../domain/fetch/fetch-raw-image.js';
import type { Operations } from '../domain/operations/engine.js';
import {
  CachedImage,
  type ImageServiceService,
  type SetAsideFile as SetAsideMessage,
} from '../gen/hostler/v1/image_service.js';
import type { SetAsideFile } from '../domain/cache/eviction.js';
import { durationOf, timeOfMs } from '../protocol/times.js';
import { fetchParsers, parseEvict, parseList, parsePin } from './fetch-requests.js';
import type { SourceDefaults } from './sources/fetch-source.js';
import type { Handlers } from './handler.js';
import { imageInfo } from './image-answers.js';
import { pageOf } from './pages.js';
import { longRunning, attachedAsk, resultOf } from './running.js';
import type { CacheEntry } from '../domain/ports/image-cache.js';

export type FetchPorts = FetchImagePorts &
  Omit<CachePorts, 'cache'> & {
    readonly sourceDefaults: SourceDefaults;
    readonly bases: PoolBases;
  };

type FetchHandlers = Pick<
  Handlers<typeof ImageServiceService>,
  'fetchImage' | 'fetchRawImage' | 'listCachedImages' | 'pinCachedImage' | 'prefetchImage' | 'evictCachedImages'
>;

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;

/**
 * The RPCs that fetch images and manage the cache. A caller who may not know the source of a cached
 * image sees the entry without it.
 */
export function fetchHandlers(operations: Operations, ports: FetchPorts): FetchHandlers {
  const events = longRunning(operations);
  const parse = fetchParsers(ports.sourceDefaults);
  const cache = ports.imageCache;
  const { bases } = ports;
  const shown = async (entry: CacheEntry, caller: Caller) => {
    const known = mayKnow(entry, caller) ? entry : anonymous(entry);
    return cachedImage(known, await cache.eviction.inUse(entry), ports.clock());
  };
  const shownBase = async (id: string, caller: Caller) => {
    const entry = await bases.entry(id);
    if (entry === undefined) return [];
    return [cachedImage(mayKnow({}, caller) ? entry : anonymous(entry), entry.inUse, ports.clock())];
  };
  const basesOf = async (ids: readonly string[], caller: Caller) => {
    const images: CachedImage[] = [];
    // One after the other: each sends several queries to the cluster at once.
    for (const id of ids) images.push(...(await shownBase(id, caller)));
    return images;
  };
  const pin = pinCachedImage(cache, bases);
  return {
    fetchImage: events(parse.fetch, fetchImage(ports)),
    fetchRawImage: events(parse.fetchRaw, fetchRawImage(ports)),
    prefetchImage: events(parse.prefetch, prefetchImage(cache)),
    evictCachedImages: events(parseEvict, evictCachedImages(cache, bases)),
    async listCachedImages(request, caller) {
      const { pageSize = DEFAULT_PAGE, pageToken, pool } = parseList(request);
      const all = pool === '' ? byUse(cache.index.all) : byId(await bases.list(pool));
      const { page: places, more } = pageAfter(all, pageToken, Math.min(pageSize, MAX_PAGE));
      const page = places.map(({ id }) => id);
      const found = await (pool === ''
        ? Promise.all(page.map((id) => shown(cache.index.get(id), caller)))
        : basesOf(page, caller));
      const asIs = (each: CachedImage) => each;
      const images = await pageOf(found, asIs, (each) => CachedImage.encode(each), caller.signal);
      const last = images.length < found.length ? images.at(-1)?.cacheId : page.at(-1);
      const ended = images.length === found.length && !more;
      const next = places.find(({ id }) => id === last)?.at ?? '';
      const withAside = pool === '' && pageToken === '';
      const setAside = withAside ? (await cache.eviction.setAside()).map(setAsideFile) : [];
      return { images, nextPageToken: ended ? '' : next, setAside };
    },
    async pinCachedImage(request, caller) {
      const { spec, requestId } = parsePin(request);
      const { cacheId } = await resultOf('cached', operations.start(pin, spec, attachedAsk(requestId), caller));
      if (isBaseEntryId(cacheId)) return { image: (await shownBase(cacheId, caller))[0] };
      return { image: await shown(cache.index.get(cacheId), caller) };
    },
  };
}

/** Source and checksum of an entry are visible to the callers who were given it, and to admins. */
function mayKnow({ knownTo = [] }: Pick<CacheEntry, 'knownTo'>, { identity, grant }: Caller): boolean {
  return grant.name === BUILT_IN.admin.name || knownTo.includes(identity);
}

function anonymous<E extends Pick<CacheEntry, 'source' | 'checksum'>>(entry: E): E {
  return { ...entry, source: '', checksum: '' };
}

function setAsideFile({ id, why, allocatedBytes, modifyTimeMs }: SetAsideFile): SetAsideMessage {
  return { cacheId: id, why, allocatedBytes, modifyTime: timeOfMs(modifyTimeMs) };
}

function cachedImage(entry: Omit<BaseEntry, 'inUse'>, inUse: boolean, now: number): CachedImage {
  const [algorithm = '', digest = ''] = entry.checksum.split(':');
  return {
    cacheId: entry.id,
    source: entry.source,
    checksum: entry.checksum === '' ? undefined : { algorithm, digest },
    info: imageInfo(entry.info),
    pinned: entry.pinned,
    useTime: timeOfMs(entry.useTimeMs),
    inUse,
    age: durationOf(now - entry.createTimeMs),
  };
}
