import type { ImageAddress } from '../model/address.js';
import { describeFile } from '../images/describe-image.js';
import { downloadFacts } from '../fetch/download.js';
import { fetchResume } from '../fetch/fetch-spec.js';
import { fetchTo } from '../fetch/fetch-to.js';
import type { MakePorts } from '../fetch/make-image.js';
import { checksumText } from '../model/checksum.js';
import { forAllCallers, isFarSource, isGuarded, sourceText } from '../fetch/source.js';
import { sha256OfFile } from '../fetch/take-file.js';
import type { FetchResult } from '../operations/results.js';
import type { ResumeEntries } from '../operations/recovery/resume-entries.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock } from '../ports/images.js';
import { cacheAddress, cacheIdOf } from './cache-entry.js';
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
const FILL_CACHE = 'FillCache';

/** What fills the cache for a request, under the id that its download gets. */
export function fillSpec(key: string, request: CacheKeyRequest): (id: string) => FillSpec {
  const { source, sourceFormat, archiveMember, format, checksum } = request;
  return (id) => ({
    ...{ id, key, source: forAllCallers(source, checksum !== undefined) },
    ...(sourceFormat === undefined ? {} : { sourceFormat }),
    ...(archiveMember === undefined ? {} : { archiveMember }),
    ...(format === undefined ? {} : { format }),
    ...(checksum === undefined ? {} : { checksum }),
  });
}

/**
 * The id of the next download of a key: that of an earlier attempt which left what had come, unless
 * it is to be `fresh`, or a new one.
 */
export function nextFill(resumes: Pick<ResumeEntries, 'kept'>, newId: () => string) {
  return (key: string, fresh: boolean): string => {
    const kept = fresh ? [] : resumes.kept;
    const found = kept.find(({ method, address }) => method === FILL_CACHE && cacheIdOf(address).startsWith(`${key}-`));
    return found === undefined ? `${key}-${newId().toLowerCase()}` : cacheIdOf(found.address);
  };
}

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
      const into = { target: address, overwrite: true, attributes: {} };
      const { part, downloaded, image } = await fetchTo({ ...spec, ...into }, run, ports);
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
