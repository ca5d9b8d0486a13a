import { describeFile } from '../images/describe-image.js';
import type { FetchResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import { downloadFacts } from './download.js';
import { rateOf, type FetchSpec } from './fetch-spec.js';
import { fetchTo } from './fetch-to.js';
import { showConverted, type MakePorts } from './make-image.js';

/** Fetches an image to its target without the cache, and publishes it. */
export async function fetchDirectly(spec: FetchSpec, run: Run, ports: MakePorts): Promise<FetchResult> {
  const { part, downloaded, image } = await fetchTo({ ...spec, ...rateOf(spec) }, run, ports);
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
}
