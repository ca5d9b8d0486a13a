/**
 * One row per RPC: authorisation and the request log are derived from it. An RPC without a row does not compile.
 */
import type { CommandServiceService } from '../gen/hostler/v1/command_service.js';
import type { FileServiceService } from '../gen/hostler/v1/file_service.js';
import type { HostInfoServiceService } from '../gen/hostler/v1/host_info_service.js';
import type { ImageServiceService } from '../gen/hostler/v1/image_service.js';
import type { OperationServiceService } from '../gen/hostler/v1/operation_service.js';

interface Row {
  /** `read` looks; `change` changes the host, or ends somebody's work. */
  readonly access: 'read' | 'change';
  /** Fields of the request that hold addresses, in the generated code's spelling. */
  readonly addresses: readonly string[];
}

const read = (...addresses: string[]): Row => ({ access: 'read', addresses });
const change = (...addresses: string[]): Row => ({ access: 'change', addresses });

const IMAGE: Readonly<Record<keyof typeof ImageServiceService, Row>> = {
  getImageInfo: read('path'),
  detectDiskType: read('path'),
  findRootDisk: read(),
  mapImage: read('path'),
  measureImage: read('path'),
  createImage: change('path'),
  createOverlay: change('path', 'backingFile'),
  convertImage: change('source', 'target'),
  extractSnapshot: change('path', 'target'),
  copyImage: change('source', 'target'),
  fetchImage: change('target'),
  fetchRawImage: change('target'),
  resizeImage: change('path'),
  rebaseImage: change('path', 'backingFile'),
  commitImage: change('path', 'base'),
  checkImage: change('path'),
  digestImage: change('path'),
  compareImages: change('first', 'second'),
  wipeImage: change('path'),
  deleteImage: change('path'),
  createSnapshot: change('path'),
  deleteSnapshot: change('path'),
  revertSnapshot: change('path'),
  listSnapshots: read('path'),
  startUpload: change('target'),
  uploadImage: change(),
  downloadImage: change('path'),
  listCachedImages: read(),
  pinCachedImage: change(),
  prefetchImage: change(),
  evictCachedImages: change(),
  openExport: change('path'),
  closeExport: change(),
};

const HOST: Readonly<Record<keyof typeof HostInfoServiceService, Row>> = {
  getHostInfo: read(),
  getFilesystemInfo: read('path'),
  getPoolInfo: read(),
  watchFilesystem: read('path'),
  getArchitecture: read(),
  getIscsiInitiator: read(),
  isMounted: read(),
  validateHostname: read(),
  pickDiskDriverName: read(),
  getInstancePath: read(),
  getInstancePathAtDestination: read(),
};

const FILE: Readonly<Record<keyof typeof FileServiceService, Row>> = {
  chown: change('path'),
  chownForIdMaps: change('path'),
  deleteFile: change('path'),
  statFile: read('path'),
  touchFile: change('path'),
  // Reads, but content: what a viewer may see is what images are, not what is in them.
  readFile: change('path'),
  writeFile: change(),
};

const OPERATION: Readonly<Record<keyof typeof OperationServiceService, Row>> = {
  getOperation: read(),
  listOperations: read(),
  watchOperation: read(),
  watchOperations: read(),
  cancelOperation: change(),
};

const COMMAND: Readonly<Record<keyof typeof CommandServiceService, Row>> = { execute: change() };

export const RPC_TABLE = {
  ImageService: IMAGE,
  HostInfoService: HOST,
  FileService: FILE,
  OperationService: OPERATION,
  CommandService: COMMAND,
} as const;
export type ServiceName = keyof typeof RPC_TABLE;
export type RpcRow = Row;
