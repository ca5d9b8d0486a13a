import type { ImageAddress } from '../model/address.js';
import { describeFile } from '../images/describe-image.js';
import { download } from '../fetch/download.js';
import { downloadFacts, checksumText, fetchResume, withFormat } from '../fetch/fetch-image.js';
import { makeImage, type MakePorts } from '../fetch/make-image.js';
import { isFarSource, isGuarded, sourceText } from '../fetch/source.js';
import { sha256OfFile } from '../fetch/take-file.js';
import type { FetchResult } from '../operations/record.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock } from '../ports/images.js';
import { cacheAddress } from './cache-entry.js';
import type { CacheIndex } from './cache-index.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';

export interface FillSpec extends CacheKeyRequest {
  readonly id: string;
  readonly key: string;
}

export type FillPorts = MakePorts & {
  readonly cache: CacheIndex;
  /** Entries are hashed before each use. */
  readonly cacheVerify: boolean;
  readonly clock: Clock;
};

/** The verb's name, by which what an attempt left is found. */
export const FILL_CACHE = 'FillCache';

/**
 * Brings an image into the cache, once for all who wait for it. A crash leaves no entry, and what
 * has come for the next attempt.
 */
export function fillCache(ports: FillPorts): Verb<FillSpec, FetchResult> {
  return {
    name: FILL_CACHE,
    slot: () => 'io',
    far: isFarSource,
    uses: ({ id }) => [{ role: 'target', address: cacheAddress(id), overwrite: true, allowDependants: false }],
    // The operations that wait for it continue after a restart by themselves and ask for it again.
    resume: { ...fetchResume<FillSpec>(), alone: () => false },

    async run(spec, run) {
      const address = cacheAddress(spec.id);
      const { part, checkpoint } = await run.resumablePart(address, { overwrite: true, attributes: {} });
      const limits = { maxBytes: ports.rules.maxBytes, assertFacts: () => undefined };
      const downloaded = await download({ ...spec, target: address }, part.aside, checkpoint, limits, run, ports);
      const image = await makeImage(part, run.target(address), withFormat(spec, downloaded), run, ports);
      await run.step('seal');
      const made = await part.seal();
      const info = describeFile(made, image.kept ?? (await ports.reader.facts(made, image.format)), false);
      const result: FetchResult = {
        kind: 'fetch',
        info,
        fromCache: false,
        lengthBytes: made.lengthBytes,
        cacheId: spec.id,
        ...downloadFacts(downloaded),
      };
      const entry: CacheEntry = {
        id: spec.id,
        key: spec.key,
        source: sourceText(spec.source),
        checksum: downloaded.checksum === undefined ? '' : checksumText(downloaded.checksum),
        verified: spec.checksum !== undefined,
        guarded: isGuarded(run.secrets),
        ...(downloaded.freshness === undefined ? {} : { validator: downloaded.freshness }),
        info,
        inode: made.inode,
        modifyTimeNs: made.modifyTimeNs,
        ...(ports.cacheVerify ? { fileSha256: await sha256OfFile(made, run, ports.files) } : {}),
        createTimeMs: ports.clock(),
        useTimeMs: ports.clock(),
        pinned: false,
      };
      return run.commit('COMMITTING', { address, made, result }, async () => {
        const release = ports.cache.lease(entry);
        try {
          // Whatever becomes of us: a file of this name is ours.
          await ports.cache.setAside(entry, 'unfinished');
          const notDurable = await part.publish();
          await enter(entry, address, run, ports);
          return notDurable;
        } finally {
          release();
        }
      });
    },
  };
}

/** A file without an entry is no use to anybody: it goes, and the operation has failed. */
async function enter(entry: CacheEntry, address: ImageAddress, run: Run, { cache, files }: FillPorts): Promise<void> {
  try {
    await run.step('enter');
    await cache.put(entry);
  } catch (error) {
    await files.remove(run.target(address));
    throw error;
  }
}
