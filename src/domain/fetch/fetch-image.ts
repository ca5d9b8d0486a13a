import { describeFile } from '../images/describe-image.js';
import type { ImageFormat } from '../model/image-format.js';
import type { FetchResult } from '../operations/record.js';
import type { Resume, Use, Verb } from '../operations/verb.js';
import { download, type Downloaded } from './download.js';
import { fetchFromCache, type FromCachePorts } from './fetch-from-cache.js';
import { makeImage, showConverted } from './make-image.js';
import { assertAnnouncedSize } from './validate-foreign.js';
import { isFarSource, needsNoSecrets, sourceIdentity, sourceText } from './source.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { SourceSpec } from '../model/image-source.js';
import type { FetchSpec } from './fetch-spec.js';
import { TRANSPORT } from './transfer-spec.js';

/**
 * Fetches an image, checks it, converts it where another format is wanted, and publishes it. A
 * crash leaves nothing under the final name.
 */
export function fetchImage(ports: FromCachePorts): Verb<FetchSpec, FetchResult> {
  return {
    name: 'FetchImage',
    // Who uses the cache mostly waits for the one that fills it.
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
      if (spec.useCache) return fetchFromCache(spec, run, ports);
      const { part, checkpoint } = await run.resumablePart(spec.target, spec);
      const limits = {
        maxBytes: ports.rules.maxBytes,
        assertFacts: assertAnnouncedSize(spec.maxSizeBytes, sourceText(spec.source)),
      };
      const downloaded = await download(spec, part.aside, checkpoint, limits, run, ports);
      const image = await makeImage(part, run.target(spec.target), withFormat(spec, downloaded), run, ports);
      await run.step('seal');
      const made = await part.seal();
      if (image.converted !== undefined) showConverted(made, image.converted, run);
      const facts = image.kept ?? (await ports.reader.facts(made, image.format));
      const result: FetchResult = {
        kind: 'fetch',
        info: describeFile(made, facts, false),
        fromCache: false,
        lengthBytes: made.lengthBytes,
        ...downloadFacts(downloaded),
      };
      return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
    },
  };
}

/**
 * A declared format goes before what the source says, which may be that of what is taken out of an
 * archive.
 */
export function withFormat<S extends { readonly sourceFormat?: ImageFormat; readonly archiveMember?: string }>(
  spec: S,
  { facts }: Downloaded,
): S {
  if (facts.packed === true && spec.archiveMember === undefined) return spec;
  return spec.sourceFormat !== undefined || facts.format === undefined ? spec : { ...spec, sourceFormat: facts.format };
}

/** What a result says of the download. */
export function downloadFacts({ networkBytes, checksum }: Downloaded): Pick<FetchResult, 'networkBytes' | 'checksum'> {
  return checksum === undefined ? { networkBytes } : { networkBytes, checksum: checksumText(checksum) };
}

/** The checksum as `algorithm:digest`, the form of results and metadata. */
export function checksumText({ algorithm, digest }: ExpectedChecksum): string {
  return `${algorithm}:${digest}`;
}

/** A fetch resumes one of the same source with the same checksum to the same target. */
export function fetchResume<
  S extends { readonly source: SourceSpec; readonly checksum?: ExpectedChecksum },
>(): Resume<S> {
  return {
    key: ({ source, checksum }) => `${sourceIdentity(source)} ${checksum === undefined ? '' : checksumText(checksum)}`,
    // Who is not let in may have taken up what another caller can go on with.
    after: [...TRANSPORT, 'SOURCE_REFUSED'],
    alone: ({ source }) => needsNoSecrets(source),
  };
}

/** The addresses that a fetch locks: the target, and a source that is a file of this host. */
export function usesOf({
  source,
  target,
  overwrite,
}: Pick<FetchSpec, 'source' | 'target' | 'overwrite'>): readonly Use[] {
  return [
    ...(source.kind === 'file' ? [{ role: 'source' as const, address: source.path, allowInUse: false }] : []),
    { role: 'target', address: target, overwrite, allowDependants: false },
  ];
}
