import { checkImage } from '../domain/verbs/check-image.js';
import { compareImages } from '../domain/verbs/compare-images.js';
import { commitImage } from '../domain/verbs/commit-image.js';
import { convertImage } from '../domain/verbs/convert-image.js';
import { copyImage, type CopyPorts } from '../domain/copy/copy-image.js';
import { createImage, type CreatePorts } from '../domain/verbs/create-image.js';
import { createOverlay } from '../domain/verbs/create-overlay.js';
import { deleteImage } from '../domain/verbs/delete-image.js';
import { mapImage, measureImage, type ExaminePorts } from '../domain/verbs/examine-image.js';
import { detectDiskType, typeByPrefix } from '../domain/verbs/detect-disk-type.js';
import { digestImage, type DigestPorts } from '../domain/verbs/digest-image.js';
import { findRootDisk, type DomainReader, type DomainSource } from '../domain/verbs/find-root-disk.js';
import { getImageInfo, type InfoPorts } from '../domain/verbs/get-image-info.js';
import type { InventoryPorts } from '../domain/inventory/list-images.js';
import type { ChangePorts } from '../domain/verbs/in-place.js';
import type { Operations } from '../domain/operations/engine.js';
import { rebaseImage } from '../domain/verbs/rebase-image.js';
import { resizeImage } from '../domain/verbs/resize-image.js';
import { createSnapshot, deleteSnapshot, listSnapshots, revertSnapshot } from '../domain/verbs/snapshots.js';
import { wipeImage } from '../domain/verbs/wipe-image.js';
import { DetectionBasis, type ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { batchHandler, type BatchHandlerPorts } from './inventory/batch.js';
import { fetchHandlers, type FetchPorts } from './fetch.js';
import { mapStream, type Handlers } from './handler.js';
import {
  parseCheck,
  parseCommit,
  parseCompare,
  parseDigest,
  parseRebase,
  parseResize,
  parseSnapshot,
  parseSnapshots,
  parseWipe,
} from './change-requests.js';
import { parseCopy } from './copy-requests.js';
import { extent, imageInfo, imageSnapshot } from './image-answers.js';
import {
  parseConvert,
  parseCreate,
  parseDelete,
  parseDetect,
  parseDomain,
  parseExtract,
  parseInfo,
  parseMap,
  parseMeasure,
  parseOverlay,
} from './image-requests.js';
import { inventoryHandlers } from './inventory/inventory.js';
import { longRunning } from './running.js';
import { transferHandlers, type TransferHandlerPorts } from './transfer.js';

export type ImagePorts = InfoPorts &
  CreatePorts &
  CopyPorts &
  DigestPorts &
  TransferHandlerPorts &
  FetchPorts &
  ExaminePorts &
  BatchHandlerPorts &
  InventoryPorts &
  ChangePorts & { readonly domains: DomainSource; readonly domainXml: DomainReader };

const BASES = {
  path: DetectionBasis.DETECTION_BASIS_PATH,
  content: DetectionBasis.DETECTION_BASIS_CONTENT,
} as const;

/** ImageService: parse, one domain call, map. */
export function imageHandlers(operations: Operations, ports: ImagePorts): Handlers<typeof ImageServiceService> {
  const events = longRunning(operations);
  return {
    async getImageInfo(request) {
      const [info, ...chain] = await getImageInfo(parseInfo(request), ports);
      return { info: imageInfo(info), backingChain: chain.map(imageInfo) };
    },
    batchGetImageInfo: batchHandler(ports),
    ...inventoryHandlers(ports),
    async detectDiskType({ path }) {
      const { type, basis } = typeByPrefix(path) ?? (await detectDiskType(parseDetect({ path }), ports));
      return { diskType: type, basis: BASES[basis] };
    },
    async findRootDisk(request, caller) {
      const { xml, name } = parseDomain(request);
      const text = xml ?? (await ports.domains.xmlOf(name, caller.signal));
      const disk = findRootDisk(await ports.domainXml.read(text, caller));
      return { path: disk.path, format: disk.format };
    },
    async *mapImage(request, caller) {
      yield* mapStream(mapImage(parseMap(request), caller, ports), (page) => ({ extents: page.map(extent) }));
    },
    async measureImage(request, caller) {
      return measureImage(parseMeasure(request), caller, ports);
    },
    ...fetchHandlers(operations, ports),
    createImage: events(parseCreate, createImage(ports)),
    createOverlay: events(parseOverlay, createOverlay(ports)),
    convertImage: events(parseConvert, convertImage('ConvertImage', ports)),
    extractSnapshot: events(parseExtract, convertImage('ExtractSnapshot', ports)),
    copyImage: events(parseCopy, copyImage(ports)),
    deleteImage: events(parseDelete, deleteImage(ports)),
    resizeImage: events(parseResize, resizeImage(ports)),
    rebaseImage: events(parseRebase, rebaseImage(ports)),
    commitImage: events(parseCommit, commitImage(ports)),
    checkImage: events(parseCheck, checkImage(ports)),
    digestImage: events(parseDigest, digestImage(ports)),
    compareImages: events(parseCompare, compareImages(ports)),
    wipeImage: events(parseWipe, wipeImage(ports)),
    createSnapshot: events(parseSnapshot, createSnapshot(ports)),
    deleteSnapshot: events(parseSnapshot, deleteSnapshot(ports)),
    revertSnapshot: events(parseSnapshot, revertSnapshot(ports)),
    ...transferHandlers(operations, ports),
    async listSnapshots(request) {
      return { snapshots: (await listSnapshots(parseSnapshots(request), ports)).map(imageSnapshot) };
    },
  };
}
