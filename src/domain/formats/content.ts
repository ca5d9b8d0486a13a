/** Reads a disk without a container: partitions, or an optical medium. */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import { imageFacts } from './facts.js';
import { claims, contentMarks } from './magic.js';
import { partitionFindings } from './partitions.js';

/** The bytes of an untrusted image as a disk, and what is wrong with its partitions. */
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
      // What boots from a stick as well describes itself in partitions that overlap, as it must.
      ...(isMedium ? [] : await partitionFindings(bytes)),
    ],
  });
}
