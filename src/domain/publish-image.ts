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

/** Makes the part durable, says what it is, and gives it its name; a stranger's only when it may be one: see `ImageReader.foreign`. */
export async function publishImage(
  part: Part,
  target: { readonly address: ImageAddress; readonly format: ImageFormat; readonly foreign?: true },
  work: Omit<ImageResult, 'kind' | 'info'>,
  run: Run,
  { reader }: PublishPorts,
): Promise<ImageResult> {
  await run.step('seal');
  const made = await part.seal();
  // In our private folder nobody else can hold it.
  const facts = await (target.foreign === true
    ? reader.foreign(made, target.format)
    : reader.facts(made, target.format));
  const info = describeFile(made, facts, false);
  const result: ImageResult = { kind: 'image', info, ...work };
  return run.commit('COMMITTING', { address: target.address, made, result }, () => part.publish());
}
