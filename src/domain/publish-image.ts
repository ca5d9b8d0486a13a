import type { ImageAddress } from './address.js';
import { describeFile } from './describe-image.js';
import type { ImageFormat } from './image-format.js';
import type { ImageResult } from './operations/record.js';
import type { Run } from './operations/verb.js';
import type { Part } from './ports.js';
import type { ImageReader } from './read-image.js';

export interface PublishPorts {
  readonly reader: ImageReader;
}

/** Makes the part durable, says what it is, and gives it its name. */
export async function publishImage(
  part: Part,
  target: { readonly address: ImageAddress; readonly format: ImageFormat },
  work: Omit<ImageResult, 'kind' | 'info'>,
  run: Run,
  { reader }: PublishPorts,
): Promise<ImageResult> {
  await run.step('seal');
  const made = await part.seal();
  // In our private folder nobody else can hold it.
  const info = describeFile(made, await reader.facts(made, target.format), false);
  const result: ImageResult = { kind: 'image', info, ...work };
  return run.commit('COMMITTING', { address: target.address, made, result }, () => part.publish());
}
