import { SECTOR_BYTES, roundUp } from '../model/size.js';
import type { FileIdentity } from '../ports/handles.js';
import type { InventoryImage } from '../ports/inventory.js';

/** Whether a file is a raw disk, whose bytes belong to a guest. */
export type IsRaw = (file: FileIdentity & { readonly birthTimeNs?: bigint; readonly lengthBytes: bigint }) => boolean;

/** A known raw disk is listed as raw, whatever a guest has written into it. */
export function asRawDisk(image: InventoryImage, isRaw: IsRaw): InventoryImage {
  const { facts } = image;
  if (facts.format === 'raw' || !isRaw(facts)) return image;
  const { device, inode, birthTimeNs, lengthBytes, modifyTimeNs } = facts;
  return {
    ...image,
    facts: {
      ...{ device, inode, lengthBytes, modifyTimeNs },
      ...(birthTimeNs === undefined ? {} : { birthTimeNs }),
      format: 'raw',
      virtualSizeBytes: roundUp(lengthBytes, SECTOR_BYTES),
      ...{ encrypted: false, dirty: false, corrupt: false, findings: [] },
    },
  };
}
