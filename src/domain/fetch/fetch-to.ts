import type { Run } from '../operations/verb.js';
import type { StagedImage } from '../ports/targets.js';
import { download, type BringSpec, type Downloaded } from './download.js';
import type { FetchSpec } from './fetch-spec.js';
import { makeImage, type MadeImage, type MakePorts } from './make-image.js';
import { sourceText } from './source.js';
import { assertAnnouncedSize } from './validate-foreign.js';

/** An image that has come, in its private folder; it is not sealed yet. */
interface Fetched {
  readonly part: StagedImage;
  readonly downloaded: Downloaded;
  readonly image: MadeImage;
}

/** What is fetched, and to where. */
export type FetchToSpec = Omit<FetchSpec, 'useCache' | 'overlay' | 'sourceEncrypted' | 'bytesPerSecond'> &
  Pick<BringSpec, 'rate'>;

/**
 * Downloads an image into a private folder beside its target, or continues what an earlier attempt
 * left there, checks it, and converts it where another format is wanted. Fails as `download` and
 * `makeImage`.
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
 * A declared format goes before what the source says, which may be that of what is taken out of an
 * archive.
 */
function withFormat(spec: FetchToSpec, { facts }: Downloaded): FetchToSpec {
  if (facts.packed === true && spec.archiveMember === undefined) return spec;
  return spec.sourceFormat !== undefined || facts.format === undefined ? spec : { ...spec, sourceFormat: facts.format };
}
