import { describeImage } from './describe-image.js';
import type { ImageFormat } from './image-format.js';
import type { ImageInfo } from './image-info.js';
import type { ImageLocks, Part } from './ports.js';
import type { ImageReader } from './read-image.js';
import type { Run } from './operations/verb.js';

export interface PublishPorts {
  readonly reader: ImageReader;
  readonly imageLocks: ImageLocks;
}

/** Makes the part durable, gives it its name, and says what it is now. */
export async function publishImage(
  part: Part,
  format: ImageFormat,
  run: Run,
  { reader, imageLocks }: PublishPorts,
): Promise<ImageInfo> {
  await run.step('seal');
  await part.seal();
  run.phase('COMMITTING', false);
  await run.step('publish');
  const file = await part.publish();
  try {
    return await describeImage(file, await reader.facts(file, format, run.tool()), imageLocks);
  } finally {
    await file.handle.close();
  }
}
