import { unsupported } from '../model/errors.js';
import { imageFacts } from '../formats/facts.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts } from '../model/image-info.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import type { Resolved, VolumeFacts } from '../ports/handles.js';

/** The bytes of a file as a disk, whatever they contain. */
export function rawFacts(file: Resolved): ImageFacts {
  return imageFacts('raw', roundUp(file.lengthBytes, SECTOR_BYTES));
}

/** The cluster's facts of an image. Its bytes are a guest's disk, whatever they contain. */
export function volumeFacts(
  file: Resolved,
  { objectSizeBytes, parent, snapshots }: VolumeFacts,
  declared?: ImageFormat,
): ImageFacts {
  if (declared !== undefined && declared !== 'raw')
    throw unsupported(`${file.address} is an image of a cluster, which holds raw bytes`, {
      path: file.address,
      declared,
    });
  return {
    ...imageFacts('raw', roundUp(file.lengthBytes, SECTOR_BYTES)),
    clusterSizeBytes: objectSizeBytes,
    ...(parent === undefined ? {} : { backingFile: parent, backingFormat: 'raw' }),
    snapshots,
  };
}
