import type { FetchResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import { download, downloadFacts, type BringPorts } from './download.js';
import { isFarSource, sourceText } from './source.js';
import { assertWithin } from './wrong-bodies.js';
import { fetchResume, rateOf, usesOf, type FetchSpec } from './fetch-spec.js';

export type FetchRawSpec = Pick<
  FetchSpec,
  'source' | 'target' | 'maxSizeBytes' | 'checksum' | 'bytesPerSecond' | 'overwrite' | 'attributes'
>;

/** Fetches bytes unchanged: kernels, ramdisks. A crash leaves nothing under the final name. */
export function fetchRawImage(ports: BringPorts): Verb<FetchRawSpec, FetchResult> {
  const allowed = ({ maxSizeBytes }: FetchRawSpec) =>
    maxSizeBytes === undefined || maxSizeBytes > ports.rules.maxBytes ? ports.rules.maxBytes : maxSizeBytes;
  return {
    name: 'FetchRawImage',
    slot: () => 'io',
    far: isFarSource,
    uses: usesOf,
    resume: fetchResume(),
    plan: async ({ source, target: address }, { target }) => ({
      kind: 'plan',
      method: 'download',
      why: `the bytes of ${sourceText(source)} are fetched as they are`,
      needBytes: 0n,
      freeBytes: await ports.files.freeBytes(target(address).directory),
    }),

    async run(spec, run) {
      const { part, checkpoint } = await run.resumablePart(spec.target, spec);
      const [what, maxBytes] = [sourceText(spec.source), allowed(spec)];
      const limits = {
        maxBytes,
        assertFacts: ({ lengthBytes = 0n }) => assertWithin(lengthBytes, maxBytes, what),
      };
      const downloaded = await download({ ...spec, ...rateOf(spec) }, part.aside, checkpoint, limits, run, ports);
      await part.adopt(part.aside.name);
      await run.step('seal');
      const made = await part.seal();
      const result: FetchResult = {
        kind: 'fetch',
        fromCache: false,
        lengthBytes: made.lengthBytes,
        ...downloadFacts(downloaded),
      };
      return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
    },
  };
}
