import { convertImage } from '../domain/convert-image.js';
import { copyImage, type CopyPorts } from '../domain/copy-image.js';
import { createImage, type CreatePorts } from '../domain/create-image.js';
import { createOverlay } from '../domain/create-overlay.js';
import { deleteImage } from '../domain/delete-image.js';
import { mapImage, measureImage, type ExaminePorts } from '../domain/examine-image.js';
import { detectDiskType, typeByPrefix } from '../domain/detect-disk-type.js';
import { getImageInfo, type InfoPorts } from '../domain/get-image-info.js';
import type { Operations } from '../domain/operations/engine.js';
import type { OperationResult } from '../domain/operations/record.js';
import type { Verb } from '../domain/operations/verb.js';
import { DetectionBasis, type ImageServiceService } from '../gen/hostler/v1/image_service.js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { mapStream, type Handlers, type ServerStream } from './handler.js';
import { extent, imageInfo } from './image-answers.js';
import {
  parseConvert,
  parseCopy,
  parseCreate,
  parseDelete,
  parseDetect,
  parseExtract,
  parseInfo,
  parseMap,
  parseMeasure,
  parseOverlay,
  type Parsed,
} from './image-requests.js';
import { operationEvent } from './operation-answers.js';

export type ImagePorts = InfoPorts & CreatePorts & CopyPorts & ExaminePorts;

const BASES = {
  path: DetectionBasis.DETECTION_BASIS_PATH,
  content: DetectionBasis.DETECTION_BASIS_CONTENT,
} as const;

/** ImageService: parse, one domain call, map. */
export function imageHandlers(operations: Operations, ports: ImagePorts): Handlers<typeof ImageServiceService> {
  /** An RPC that is an operation: its stream is the operation's events. */
  function longRunning<S extends object, R extends OperationResult>(
    parse: (request: unknown) => Parsed<S>,
    verb: Verb<S, R>,
  ): ServerStream<unknown, OperationEvent> {
    return async function* events(request, caller) {
      const { spec, ask } = parse(request);
      yield* mapStream(operations.start(verb, spec, ask, caller), operationEvent);
    };
  }

  return {
    async getImageInfo(request) {
      const [info, ...chain] = await getImageInfo(parseInfo(request), ports);
      return { info: imageInfo(info), backingChain: chain.map(imageInfo) };
    },
    async detectDiskType({ path }) {
      const { type, basis } = typeByPrefix(path) ?? (await detectDiskType(parseDetect({ path }), ports));
      return { type, basis: BASES[basis] };
    },
    async *mapImage(request, caller) {
      yield* mapStream(mapImage(parseMap(request), caller, ports), (page) => ({ extents: page.map(extent) }));
    },
    async measureImage(request, caller) {
      return measureImage(parseMeasure(request), caller, ports);
    },
    createImage: longRunning(parseCreate, createImage(ports)),
    createOverlay: longRunning(parseOverlay, createOverlay(ports)),
    convertImage: longRunning(parseConvert, convertImage('ConvertImage', ports)),
    extractSnapshot: longRunning(parseExtract, convertImage('ExtractSnapshot', ports)),
    copyImage: longRunning(parseCopy, copyImage(ports)),
    deleteImage: longRunning(parseDelete, deleteImage(ports)),
  };
}
