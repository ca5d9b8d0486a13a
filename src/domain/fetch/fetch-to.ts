import type { Run } from '../operations/verb.js';
import type { ResolvedTarget, StagedImage } from '../ports/targets.js';
import { download, type BringSpec, type Downloaded } from './download.js';
import type { FetchSpec } from './fetch-spec.js';
import { makeImage, type MadeImage, type MakePorts } from './make-image.js';
import { sourceText } from './source.js';
import { EarlyConversion } from './early-conversion.js';
import { assertAnnouncedSize } from './validate-foreign.js';

/** A received image in its private folder, not yet sealed. */
interface Fetched {
  readonly part: StagedImage;
  readonly downloaded: Downloaded;
  readonly image: MadeImage;
}

/** What is fetched, and the target. */
export type FetchToSpec = Omit<FetchSpec, 'useCache' | 'overlay' | 'sourceEncrypted' | 'bytesPerSecond'> &
  Pick<BringSpec, 'rate'>;

/**
 * Downloads an image into a private folder beside its target, or resumes an earlier attempt there,
 * checks it, and converts it if another format is requested. Fails as `download` and `makeImage`.
 */
export async function fetchTo(spec: FetchToSpec, run: Run, ports: MakePorts): Promise<Fetched> {
  const { part, checkpoint } = await run.resumablePart(spec.target, spec);
  const limits = {
    maxBytes: ports.rules.maxBytes,
    assertFacts: assertAnnouncedSize(spec.maxSizeBytes, sourceText(spec.source)),
  };
  const target = run.target(spec.target);
  const early = canBeEarly(spec, target) ? await EarlyConversion.begin(part, target, run, ports) : undefined;
  try {
    const follower = early?.disk;
    const bring = follower === undefined ? spec : { ...spec, follower };
    const downloaded = await download(bring, part.aside, checkpoint, limits, run, ports);
    const image = await makeImage(part, target, { ...withFormat(spec, downloaded), early }, run, ports);
    return { part, downloaded, image };
  } finally {
    await early?.close();
  }
}

/** Whether the image may be one whose disk can be written while it arrives. */
function canBeEarly({ source, sourceFormat = 'qcow2', format, archiveMember }: FetchToSpec, target: ResolvedTarget) {
  const mayBeQcow2 = source.kind !== 'file' && sourceFormat === 'qcow2' && archiveMember === undefined;
  return mayBeQcow2 && format === 'raw' && target.storage === 'file';
}

/**
 * A declared format takes precedence over the source's, which may be that of a file inside an
 * archive.
 */
function withFormat(spec: FetchToSpec, { facts }: Downloaded): FetchToSpec {
  if (facts.packed === true && spec.archiveMember === undefined) return spec;
  return spec.sourceFormat !== undefined || facts.format === undefined ? spec : { ...spec, sourceFormat: facts.format };
}
