import type { Run } from '../operations/verb.js';
import type { StagedImage } from '../ports/targets.js';
import { download, type BringSpec, type Downloaded } from './download.js';
import type { FetchSpec } from './fetch-spec.js';
import { makeImage, type MadeImage, type MakePorts } from './make-image.js';
import { sourceText } from './source.js';
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
  const downloaded = await download(spec, part.aside, checkpoint, limits, run, ports);
  const image = await makeImage(part, run.target(spec.target), withFormat(spec, downloaded), run, ports);
  return { part, downloaded, image };
}

/**
 * A declared format takes precedence over the source's, which may be that of a file inside an
 * archive.
 */
function withFormat(spec: FetchToSpec, { facts }: Downloaded): FetchToSpec {
  if (facts.packed === true && spec.archiveMember === undefined) return spec;
  return spec.sourceFormat !== undefined || facts.format === undefined ? spec : { ...spec, sourceFormat: facts.format };
}
