import { copySparse } from '../copy/local-copy.js';
import { describeFile } from '../images/describe-image.js';
import { unsupported } from '../model/errors.js';
import type { FetchResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { ImageFormat } from '../model/image-format.js';
import { layoutOf, type Layout } from '../model/image-layout.js';
import { assertSize } from '../fetch/validate-foreign.js';
import { convertLayer, showConverted, type MakePorts } from '../fetch/make-image.js';
import type { FetchSpec } from '../fetch/fetch-spec.js';
import type { Lease } from '../ports/image-cache.js';
import type { StagedImage, ResolvedTarget } from '../ports/targets.js';
import type { Reflink } from '../ports/tools.js';

export type FromCachePorts = MakePorts & {
  readonly reflink: Reflink;
  /** Whether images of the roots may be backed by cached images. */
  readonly cacheInRoots: boolean;
};

/**
 * Makes the target from the cached copy: shares its extents, makes an overlay on it, or copies its
 * data.
 */
export async function publishFromCache(
  spec: FetchSpec,
  lease: Lease,
  run: Run,
  ports: FromCachePorts,
): Promise<FetchResult> {
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
  return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
}

/**
 * A pool holds raw bytes: a file in another format would become a disk that a guest cannot read.
 */
function assertPoolTakesFormat({ storage, address }: ResolvedTarget, format: ImageFormat): void {
  if (storage !== 'volume' || format === 'raw') return;
  const why = `an image of a cluster holds raw bytes, not ${format}: set target_format to raw`;
  throw unsupported(why, { path: address, format });
}

/**
 * Uses the cached image as the base of the target, copies it, or converts it if a layout was
 * requested.
 */
async function laidOut(spec: FetchSpec, lease: Lease, part: StagedImage, run: Run, ports: FromCachePorts) {
  const layout = layoutOf(spec);
  if (spec.overlay) await layOver(layout, lease, part, run, ports);
  else if (Object.keys(layout).length === 0) await copyOut(spec, lease, part, run, ports);
  else {
    const { entry, file } = lease;
    const { format } = entry.info;
    const image = { file, format, facts: await ports.reader.facts(file, format), untrusted: 'quarantined' as const };
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
