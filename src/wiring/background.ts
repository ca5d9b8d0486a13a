/**
 * The part of the composition root that works in the background: it removes data that is too old,
 * exceeds a limit, or is no longer used, and returns memory.
 */
import { freeMemory } from '../adapters/linux/free-memory.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import type { RbdBases } from '../adapters/rbd/rbd-bases.js';
import type { ImageCache } from '../domain/cache/image-cache.js';
import type { ResumableLeftovers } from '../domain/operations/recovery/resumable-leftovers.js';
import type { Resources } from './resources.js';

/** Interval of looking for expired resume entries. */
const EXPIRY_INTERVAL_MS = 60_000;

const HOUR_MS = 3_600_000;

interface BackgroundNeeds {
  readonly keptWork: ResumableLeftovers;
  readonly imageCache: ImageCache;
  readonly bases: RbdBases;
}

/**
 * Work that repeats while the daemon serves: expiry of resume entries, of bases and of files set
 * aside in the cache; memory that is free. The caller starts it; it stops with the daemon.
 */
export function backgroundWork(resources: Resources, needs: BackgroundNeeds): readonly { start(): void }[] {
  const { log } = resources;
  return [
    freeMemory(),
    expiry(resources, needs),
    hourly('bases cannot be looked at', log, () => expireBases(resources, needs)),
    hourly('what was set aside in the cache cannot be looked at', log, () => discardSetAside(resources, needs)),
  ];
}

/** Removes resume entries and cached images that are too old or too many, now and every minute. */
function expiry({ journal, log }: Resources, { keptWork, imageCache }: BackgroundNeeds) {
  const expire = async () => {
    // A removal that cannot be recorded is not made.
    if (!journal.writable) return;
    const removed = await keptWork.expire(({ operationId }, error) =>
      log.error('a resume entry could not be removed', { operation_id: operationId, cause: errorText(error) }),
    );
    if (removed.length > 0) log.info('expired', { removed });
    const { items, freedBytes } = await imageCache.eviction.evictOverdue();
    if (items > 0n) log.info('evicted', { items: String(items), freedBytes: String(freedBytes) });
  };
  return {
    start() {
      const now = () => {
        expire().catch((error: unknown) => log.error('expiry failed', { cause: errorText(error) }));
      };
      setInterval(now, EXPIRY_INTERVAL_MS).unref();
      now();
    },
  };
}

/** Background work, now and every hour. */
function hourly(whenItFails: string, log: Log, work: () => Promise<void>) {
  return {
    start() {
      const now = () => {
        work().catch((error: unknown) => log.error(whenItFails, { cause: errorText(error) }));
      };
      setInterval(now, HOUR_MS).unref();
      now();
    },
  };
}

/** Removes unused bases from pools; each check costs their cluster some queries. */
async function expireBases({ config, log }: Resources, { bases }: BackgroundNeeds): Promise<void> {
  const removed = await bases.expire(config.cache.max_age_hours * HOUR_MS);
  if (removed.length > 0) log.info('evicted', { removed });
  log.debug('looked at bases');
}

/** Removes cached files that were set aside, once it is known that no image is backed by them. */
async function discardSetAside({ log, journalMovedAside }: Resources, { imageCache }: BackgroundNeeds): Promise<void> {
  if (journalMovedAside) return;
  const { items, freedBytes } = await imageCache.eviction.discardSetAside();
  await imageCache.eviction.unknown(); // counted for the metrics
  if (items > 0n) log.info('evicted', { set_aside: String(items), freedBytes: String(freedBytes) });
}
