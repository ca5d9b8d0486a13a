/** Reads a disk without a container: partitions, or an optical medium. */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import { imageFacts } from './facts.js';
import { claims, contentMarks } from './magic.js';
import { partitionFindings } from './partitions.js';

/** The facts of a raw disk, with findings about its partitions. */
export async function readContent(bytes: ByteSource): Promise<ImageFacts> {
  const marks = await contentMarks(bytes);
  const isMedium = marks.includes('iso') || marks.includes('udf');
  const isLuks = (await claims(bytes)).includes('luks');
  return imageFacts('raw', roundUp(bytes.lengthBytes, SECTOR_BYTES), {
    ...(isLuks ? { holdsLuks: true } : {}),
    findings: [
      ...(isLuks && marks.length > 0
        ? [{ reason: 'SEVERAL_FORMATS', message: `it has the mark of luks and of ${marks.join(' and ')}` } as const]
        : []),
      // A hybrid medium, which also boots from a stick, necessarily has overlapping partitions.
      ...(isMedium ? [] : await partitionFindings(bytes)),
    ],
  });
}
