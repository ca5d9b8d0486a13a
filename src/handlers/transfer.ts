/** RPCs of ImageService that transfer an image's bytes through the caller's own connection. */
import type { Operations } from '../domain/operations/engine.js';
import { downloadImage, type DownloadPorts } from '../domain/transfer/download-image.js';
import { Exports, type ExportPorts } from '../domain/transfer/open-export.js';
import { paced } from '../domain/transfer/pace.js';
import { Uploads, type UploadPorts } from '../domain/transfer/upload-image.js';
import type { DownloadImageResponse, ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { timeOfMs } from '../protocol/times.js';
import { mapStream, type Handlers } from './handler.js';
import { imageInfo } from './image-answers.js';
import {
  parseCloseExport,
  parseDownload,
  parseOpenExport,
  parseStartUpload,
  parseUpload,
} from './transfer-requests.js';

export type TransferHandlerPorts = UploadPorts &
  DownloadPorts &
  ExportPorts & {
    /** Where exports can be reached; empty: the address that the call went to. */
    readonly exportHost: string;
  };

type TransferHandlers = Pick<
  Handlers<typeof ImageServiceService>,
  'startUpload' | 'uploadImage' | 'downloadImage' | 'openExport' | 'closeExport'
>;

/** The RPCs of uploads, downloads and exports. */
export function transferHandlers(operations: Operations, ports: TransferHandlerPorts): TransferHandlers {
  const uploads = new Uploads(operations, ports);
  const exports = new Exports(operations, ports);
  return {
    async startUpload(request, caller) {
      const { spec, requestId } = parseStartUpload(request);
      const { id, committedBytes, expireTimeMs, info } = await uploads.start(spec, requestId, caller);
      return {
        ...{ uploadId: id, committedBytes, expireTime: timeOfMs(expireTimeMs) },
        info: info === undefined ? undefined : imageInfo(info),
      };
    },
    async uploadImage(requests, caller) {
      const { uploadId, offset, bandwidthBytesPerSecond: rate, pieces } = await parseUpload(requests);
      const coming = paced(pieces, (piece) => ('data' in piece ? piece.data.length : 0), rate, caller.signal);
      const { committedBytes, info } = await uploads.receive(uploadId, offset, coming, caller);
      return { committedBytes, info: info === undefined ? undefined : imageInfo(info) };
    },
    async openExport(request, caller) {
      const { spec, ask } = parseOpenExport(request);
      const opened = await exports.open(spec, ask, caller);
      const { name: exportId, operationId, key, lengthBytes, fingerprint } = opened;
      return {
        ...{ exportId, operationId, lengthBytes, fingerprint },
        address: `${ports.exportHost}:${String(opened.port)}`,
        key: Buffer.from(key),
        expireTime: timeOfMs(opened.expireTimeMs),
      };
    },
    async closeExport(request, caller) {
      await exports.close(parseCloseExport(request), caller);
      return {};
    },
    async *downloadImage(request, caller) {
      yield* mapStream(downloadImage(parseDownload(request), caller, ports), (piece): DownloadImageResponse => {
        if ('data' in piece)
          return {
            content: { $case: 'data', value: Buffer.from(piece.data.buffer, piece.data.byteOffset, piece.data.length) },
          };
        if ('zeros' in piece) return { content: { $case: 'zeroBytes', value: piece.zeros } };
        return { content: { $case: 'checksum', value: piece.checksum } };
      });
    },
  };
}
