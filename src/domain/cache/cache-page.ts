import type { CacheEntry } from '../ports/image-cache.js';

export interface PagePlace {
  readonly id: string;
  /** Sort key of the entry, compared as text. */
  readonly at: string;
}

/** Digits of milliseconds up to the year 33,000. */
const DIGITS = 15;

/** Least recently used first. */
export function byUse(entries: readonly CacheEntry[]): readonly PagePlace[] {
  const places = entries.map(({ id, useTimeMs }) => ({ id, at: `${String(useTimeMs).padStart(DIGITS, '0')}.${id}` }));
  return places.sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** Ids in text order; each is its own sort key. */
export function byId(ids: readonly string[]): readonly PagePlace[] {
  return ids.map((id) => ({ id, at: id })).sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** The entries after the token; empty token: from the beginning. */
export function pageAfter(places: readonly PagePlace[], token: string, size: number) {
  const rest = places.filter(({ at }) => at > token);
  return { page: rest.slice(0, size), more: rest.length > size };
}
