import { copySparse } from '../copy/local-copy.js';
import { describeFile } from '../images/describe-image.js';
import { invalidFields, unsupported } from '../model/errors.js';
import type { FetchResult } from '../operations/record.js';
import type { Run } from '../operations/verb.js';
import type { ImageFormat } from '../model/image-format.js';
import { layoutOf, type Layout } from '../model/image-layout.js';
import { assertAnnouncedSize, assertSize } from './validate-foreign.js';
import { convertLayer, showConverted, type MakePorts } from './make-image.js';
import type { SourceFacts } from '../ports/sources.js';
import { sourceText } from './source.js';
import type { FetchSpec } from './fetch-spec.js';
import type { CacheKeyRequest, Lease } from '../ports/image-cache.js';
import type { StagedImage, ResolvedTarget } from '../ports/targets.js';
import type { Reflink } from '../ports/tools.js';

export type FromCachePorts = MakePorts & {
  readonly reflink: Reflink;
  readonly cache: {
    obtain(request: CacheKeyRequest, assertFacts: (facts: SourceFacts) => void, run: Run): Promise<Lease>;
    /** Removes the entry if nobody can be given it again; when it has been given back. */
    dropUseless(lease: Lease, run: Run): Promise<void>;
  };
  readonly baseClones: { fetch(spec: FetchSpec, run: Run): Promise<FetchResult | undefined> };
  /** Images of the roots may be backed by what is in the cache. */
  readonly cacheInRoots: boolean;
};

/**
 * Makes the target from the cache's copy: shares its extents, lays an overlay on it, or copies its
 * data.
 */
export async function fetchFromCache(spec: FetchSpec, run: Run, ports: FromCachePorts): Promise<FetchResult> {
  const cloned = await ports.baseClones.fetch(spec, run);
  if (cloned !== undefined) return cloned;
  const request = cacheKeyRequestOf(spec);
  const lease = await ports.cache.obtain(request, assertAnnouncedSize(spec.maxSizeBytes, sourceText(spec.source)), run);
  try {
    const { entry, fromCache, networkBytes } = lease;
    assertSize(entry.info, spec.maxSizeBytes, spec.target);
    assertPoolTakesFormat(run.target(spec.target), entry.info.format);
    const part = await run.part(spec.target, spec);
    const converted = await laidOut(spec, lease, part, run, ports);
    await run.step('seal');
    const made = await part.seal();
    if (converted !== undefined) showConverted(made, converted, run);
    const isAsCached = !spec.overlay && converted === undefined;
    const facts = isAsCached ? entry.info : await ports.reader.facts(made, spec.overlay ? 'qcow2' : entry.info.format);
    const result: FetchResult = {
      kind: 'fetch',
      info: describeFile(made, facts, false),
      fromCache,
      networkBytes,
      checksum: entry.checksum,
      lengthBytes: made.lengthBytes,
      ...(spec.overlay || lease.isLasting ? { cacheId: entry.id } : {}),
    };
    return await run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
  } finally {
    await lease.release();
    await ports.cache.dropUseless(lease, run);
  }
}

/** A pool holds raw bytes; those of another format would be a guest's disk that is none. */
function assertPoolTakesFormat({ storage, address }: ResolvedTarget, format: ImageFormat): void {
  if (storage !== 'volume' || format === 'raw') return;
  const why = `an image of a cluster holds raw bytes, not ${format}: set target_format to raw`;
  throw unsupported(why, { path: address, format });
}

/**
 * What to look for in the cache. Fails with INVALID_FIELD for a file of this host, which is never
 * cached.
 */
export function cacheKeyRequestOf({
  source,
  sourceFormat,
  format,
  archiveMember,
  checksum,
  overlay = false,
}: Pick<FetchSpec, 'source' | 'sourceFormat' | 'archiveMember' | 'format' | 'checksum'> & {
  readonly overlay?: boolean;
}): CacheKeyRequest {
  if (source.kind === 'file') throw invalidFields([{ field: 'use_cache', description: 'not for files of this host' }]);
  return {
    source,
    ...(sourceFormat === undefined ? {} : { sourceFormat }),
    ...(archiveMember === undefined ? {} : { archiveMember }),
    // An overlay is qcow2 whatever lies under it.
    ...(format === undefined || overlay ? {} : { format }),
    ...(checksum === undefined ? {} : { checksum }),
  };
}

/**
 * The cached image: below the target, as the target, or, where its layout was chosen, rewritten.
 */
async function laidOut(spec: FetchSpec, lease: Lease, part: StagedImage, run: Run, ports: FromCachePorts) {
  const layout = layoutOf(spec);
  if (spec.overlay) await layOver(layout, lease, part, run, ports);
  else if (Object.keys(layout).length === 0) await copyOut(spec, lease, part, run, ports);
  else {
    const { entry, file } = lease;
    const { format } = entry.info;
    const image = { file, format, facts: await ports.reader.facts(file, format), foreign: 'taken' as const };
    return convertLayer(image, part, run.target(spec.target), { ...layout, format }, run, ports);
  }
  return undefined;
}

async function layOver(
  layout: Layout,
  { entry: { info }, file }: Lease,
  part: StagedImage,
  run: Run,
  { tool, cacheInRoots }: FromCachePorts,
): Promise<void> {
  if (!cacheInRoots) throw unsupported('the cache does not lie in a root: no image can be backed by it');
  run.phase('CREATING');
  await run.step('create');
  const backing = { storedName: file.storedName, format: info.format, lengthBytes: file.lengthBytes };
  await tool.create(
    part,
    { ...layout, format: 'qcow2', sizeBytes: info.virtualSizeBytes, preallocation: 'off', backing },
    run.tool(),
  );
}

async function copyOut(
  spec: FetchSpec,
  { file }: Lease,
  part: StagedImage,
  run: Run,
  ports: FromCachePorts,
): Promise<void> {
  run.phase('CLONING');
  await run.step('clone');
  const objection = await ports.reflink.objection(file, run.target(spec.target).directory);
  if (objection === undefined && (await ports.reflink.clone(file, part, run.tool())) === true) return;
  const copy = { target: spec.target, preserveAllocation: false, allowInUse: false };
  await copySparse(copy, file, part, run, ports.tool);
}
