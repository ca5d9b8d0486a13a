/** Facts of images as messages. */
import { basename } from '../domain/model/address.js';
import type { Extent, ImageInfo, SnapshotFacts } from '../domain/model/image-info.js';
import type * as wire from '../gen/hostler/v1/image.js';
import { timeOfMs } from '../protocol/times.js';
import type { Mapped, Whole } from './messages/whole.js';

/** Fields for the daemon's own use only; the address becomes the path. */
type Inner =
  | 'address'
  | 'vhdSizeFrom'
  | 'untoldSizeBytes'
  | 'extentNames'
  | 'described'
  | 'oldEncryption'
  | 'sectorBytes'
  | 'holdsLuks'
  | 'luksVersion';
type Lost = Exclude<keyof ImageInfo, keyof wire.ImageInfo | Inner>;

/** An image's facts on the wire; sizes in bytes. */
export function imageInfo(info: ImageInfo): Mapped<Whole<wire.ImageInfo>, Lost> {
  return {
    path: info.address,
    format: info.format,
    virtualSizeBytes: info.virtualSizeBytes,
    fileLengthBytes: info.fileLengthBytes,
    allocatedBytes: info.allocatedBytes,
    clusterSizeBytes: info.clusterSizeBytes,
    backingFile: info.backingFile,
    fullBackingFile: info.fullBackingFile,
    backingFileBasename: info.backingFile === undefined ? undefined : basename(info.backingFile),
    backingFormat: info.backingFormat,
    encrypted: info.encrypted,
    dirty: info.dirty,
    corrupt: info.corrupt,
    dataFile: info.dataFile,
    snapshots: info.snapshots.map(imageSnapshot),
    compat: info.compat,
    compressionType: info.compressionType,
    inUse: info.inUse,
    findings: [...info.findings],
    lazyRefcounts: info.lazyRefcounts,
    extendedL2: info.extendedL2,
    subformat: info.subformat,
    refcountBits: info.refcountBits,
  };
}

/** A snapshot on the wire; sizes in bytes. */
export function imageSnapshot({
  id,
  name,
  createTimeMs,
  virtualSizeBytes,
  vmStateBytes,
}: SnapshotFacts): Mapped<
  Whole<wire.ImageSnapshot>,
  Exclude<keyof SnapshotFacts, keyof wire.ImageSnapshot | 'createTimeMs'>
> {
  return { id, name, createTime: timeOfMs(createTimeMs), virtualSizeBytes, vmStateBytes };
}

/** An extent on the wire; offsets and lengths in bytes. */
export function extent({
  offsetBytes,
  lengthBytes,
  data,
  zero,
  depth,
  fileOffsetBytes,
}: Extent): Mapped<Whole<wire.Extent>, Exclude<keyof Extent, keyof wire.Extent>> {
  return { offsetBytes, lengthBytes, data, zero, depth, fileOffsetBytes };
}
