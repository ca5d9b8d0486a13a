import type { ImageAddress } from '../model/address.js';
import { describeFile } from '../images/describe-image.js';
import { fetchResume } from '../fetch/fetch-spec.js';
import { fetchTo, type FetchToSpec } from '../fetch/fetch-to.js';
import { convertLayer, type MadeImage, type MakePorts } from '../fetch/make-image.js';
import { checksumText } from '../model/checksum.js';
import { forAllCallers, isFarSource, isGuarded, sourceText } from '../fetch/source.js';
import { sha256OfFile } from '../fetch/take-file.js';
import type { FetchResult } from '../operations/results.js';
import type { ResumeEntries } from '../operations/recovery/resume-entries.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock } from '../ports/images.js';
import { cacheAddress, cacheIdOf } from './cache-entry.js';
import type { SharedRates } from './shared-rates.js';
import type { CacheIndex } from './cache-index.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';

export interface FillSpec extends CacheKeyRequest {
  readonly id: string;
  readonly key: string;
  /** Id of an entry with the same content in another format; unset: download from the source. */
  readonly from?: string;
}

export type FillPorts = MakePorts & {
  readonly cache: CacheIndex;
  /** Whether entries are hashed before each use. */
  readonly cacheVerify: boolean;
  readonly clock: Clock;
};

/** Name of the verb; leftovers of an attempt are found by it. */
const FILL_CACHE = 'FillCache';

/** Makes the spec that fills the cache for a request, from the id of its download. */
export function fillSpec(key: string, request: CacheKeyRequest, from?: string): (id: string) => FillSpec {
  const { source, sourceFormat, archiveMember, format, checksum } = request;
  return (id) => ({
    ...{ id, key, source: forAllCallers(source, checksum !== undefined) },
    ...(sourceFormat === undefined ? {} : { sourceFormat }),
    ...(archiveMember === undefined ? {} : { archiveMember }),
    ...(format === undefined ? {} : { format }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(from === undefined ? {} : { from }),
  });
}

/**
 * The id of the next download of a key: that of an earlier attempt whose data was kept, or a new
 * one; always a new one if it must be `fresh`.
 */
export function nextFill(resumes: Pick<ResumeEntries, 'kept'>, newId: () => string) {
  return (key: string, fresh: boolean): string => {
    const kept = fresh ? [] : resumes.kept;
    const found = kept.find(({ method, address }) => method === FILL_CACHE && cacheIdOf(address).startsWith(`${key}-`));
    return found === undefined ? `${key}-${newId().toLowerCase()}` : cacheIdOf(found.address);
  };
}

/**
 * Downloads an image into the cache, once for all callers that wait for it. A crash leaves no
 * entry, but keeps the received data for the next attempt.
 */
export function fillCache(ports: FillPorts, rates: SharedRates): Verb<FillSpec, FetchResult> {
  return {
    name: FILL_CACHE,
    slot: () => 'io',
    far: (spec) => spec.from === undefined && isFarSource(spec),
    uses: ({ id, from }) => [
      ...(from === undefined ? [] : [{ role: 'source' as const, address: cacheAddress(from), allowInUse: true }]),
      { role: 'target', address: cacheAddress(id), overwrite: true, allowDependants: false },
    ],
    // The operations that wait for it resume after a restart and request it again.
    resume: { ...fetchResume<FillSpec>(), alone: () => false },

    async run(spec, run) {
      const address = cacheAddress(spec.id);
      const { part, came, image } = await download(spec, run, ports, rates);
      await run.step('seal');
      const made = await part.seal();
      const info = describeFile(made, image.kept ?? (await ports.reader.facts(made, image.format)), false);
      const result: FetchResult = {
        kind: 'fetch',
        info,
        fromCache: false,
        lengthBytes: made.lengthBytes,
        cacheId: spec.id,
        networkBytes: came.networkBytes,
        checksum: came.checksum,
      };
      const entry: CacheEntry = {
        id: spec.id,
        key: spec.key,
        source: sourceText(spec.source),
        checksum: came.checksum,
        verified: spec.checksum !== undefined,
        ...(came.guarded === undefined ? {} : { guarded: came.guarded }),
        ...(came.validator === undefined ? {} : { validator: came.validator }),
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
          // Recorded before the file is published: after a crash, a file with this name is known to
          // belong to the cache.
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

/** The facts of an entry's content, without those of the file. */
type Came = Pick<CacheEntry, 'checksum' | 'guarded' | 'validator'> & { readonly networkBytes: bigint };

async function download(spec: FillSpec, run: Run, ports: FillPorts, rates: SharedRates) {
  const into = { ...spec, target: cacheAddress(spec.id), overwrite: true, attributes: {} };
  if (spec.from !== undefined) return fromEntry(ports.cache.get(spec.from), into, run, ports);
  return fromSource({ ...into, rate: () => rates.of(spec.id) }, run, ports);
}

async function fromSource(spec: FetchToSpec, run: Run, ports: FillPorts) {
  const { part, downloaded, image } = await fetchTo(spec, run, ports);
  const { networkBytes, checksum, freshness: validator } = downloaded;
  const came: Came = {
    networkBytes,
    checksum: checksum === undefined ? '' : checksumText(checksum),
    guarded: isGuarded(run.secrets),
    ...(validator === undefined ? {} : { validator }),
  };
  return { part, came, image };
}

/** Makes the content of another entry in another format. */
async function fromEntry(entry: CacheEntry, spec: FetchToSpec, run: Run, ports: FillPorts) {
  const file = run.file(cacheAddress(entry.id));
  const { format } = entry.info;
  const wanted = spec.format ?? format;
  const layer = { file, format, facts: await ports.reader.facts(file, format), untrusted: 'quarantined' as const };
  const part = await run.part(spec.target, spec);
  const converted = await convertLayer(layer, part, run.target(spec.target), { format: wanted }, run, ports);
  const image: MadeImage = { format: wanted, converted };
  return { part, came: { ...entry, networkBytes: 0n } satisfies Came, image };
}

/** If the entry cannot be stored, its file is useless: it is removed, and the operation fails. */
async function enter(entry: CacheEntry, address: ImageAddress, run: Run, { cache, files }: FillPorts): Promise<void> {
  try {
    await run.step('enter');
    await cache.put(entry);
  } catch (error) {
    await files.remove(run.target(address));
    throw error;
  }
}
