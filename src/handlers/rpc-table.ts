/**
 * One row for each RPC: authorisation, audit and the request log are derived from it. An RPC
 * without a row does not compile.
 */
import type { CommandServiceService } from '../gen/hostler/v1/command_service.js';
import type { FileServiceService } from '../gen/hostler/v1/file_service.js';
import type { HostInfoServiceService } from '../gen/hostler/v1/host_info_service.js';
import { RemoteSide, type ImageServiceService } from '../gen/hostler/v1/image_service.js';
import type { OperationServiceService } from '../gen/hostler/v1/operation_service.js';

type Need = 'read' | 'write';

interface Row {
  /** `read` only reads; `change` changes the host, ends work of other callers, or shows content. */
  readonly access: 'read' | 'change';
  /**
   * Fields of the request that hold addresses, and the access that each needs; by their names in
   * the generated code, with dots into messages. A member of a oneof is named without the oneof.
   */
  readonly addresses: Readonly<Record<string, Need>>;
  /**
   * Which of the addresses lies on another host, by the value of a field: it is not an address of
   * this host.
   */
  readonly far?: { readonly sideField: string; readonly fields: Readonly<Record<number, string>> };
  /** The field that names the other host. */
  readonly farEnd?: string;
  /** The field may be empty: then there is no other host. */
  readonly farEndOptional?: true;
  /**
   * Its answers may be long: room for an answer is reserved before it is built, and released when
   * it is read.
   */
  readonly long?: true;
  /** The field that names a configured command. */
  readonly command?: string;
}

const read = (addresses: Row['addresses'] = {}): Row => ({ access: 'read', addresses });
const change = (addresses: Row['addresses'] = {}): Row => ({ access: 'change', addresses });
const long = (row: Row): Row => ({ ...row, long: true });

const IMAGE: Readonly<Record<keyof typeof ImageServiceService, Row>> = {
  getImageInfo: long(read({ path: 'read' })),
  // Each path is checked by itself: a path that the caller may not see gets an error as its result.
  batchGetImageInfo: long(read()),
  listImages: long(read({ path: 'read', 'filter.backedBy': 'read' })),
  watchImages: read({ path: 'read' }),
  detectDiskType: read({ path: 'read' }),
  findRootDisk: read(),
  mapImage: read({ path: 'read' }),
  measureImage: read({ path: 'read' }),
  createImage: change({ path: 'write' }),
  createOverlay: change({ path: 'write', backingFile: 'read' }),
  convertImage: change({ source: 'read', target: 'write' }),
  extractSnapshot: change({ path: 'read', target: 'write' }),
  copyImage: {
    ...change({ source: 'read', target: 'write' }),
    far: {
      sideField: 'remoteSide',
      fields: {
        [RemoteSide.REMOTE_SIDE_UNSPECIFIED]: 'target',
        [RemoteSide.REMOTE_SIDE_SOURCE]: 'source',
        [RemoteSide.REMOTE_SIDE_TARGET]: 'target',
      },
    },
    farEnd: 'remote.host',
  },
  fetchImage: change({ 'source.file.path': 'read', target: 'write' }),
  fetchRawImage: change({ 'source.file.path': 'read', target: 'write' }),
  resizeImage: change({ path: 'write' }),
  rebaseImage: change({ path: 'write', backingFile: 'read' }),
  commitImage: change({ path: 'write', base: 'write' }),
  // A repair writes; that is checked when the image is opened.
  checkImage: change({ path: 'read' }),
  digestImage: { ...change({ path: 'read' }), farEnd: 'peer', farEndOptional: true },
  compareImages: change({ first: 'read', second: 'read' }),
  wipeImage: change({ path: 'write' }),
  deleteImage: change({ path: 'write' }),
  createSnapshot: change({ path: 'write' }),
  deleteSnapshot: change({ path: 'write' }),
  revertSnapshot: change({ path: 'write' }),
  listSnapshots: long(read({ path: 'read' })),
  startUpload: change({ target: 'write' }),
  uploadImage: change(),
  downloadImage: change({ path: 'read' }),
  listCachedImages: long(read()),
  pinCachedImage: change(),
  prefetchImage: change({ 'source.file.path': 'read' }),
  evictCachedImages: change(),
  openExport: { ...change({ path: 'read' }), farEnd: 'peer' },
  closeExport: change(),
};

const HOST: Readonly<Record<keyof typeof HostInfoServiceService, Row>> = {
  getHostInfo: read(),
  getFilesystemInfo: read({ path: 'read' }),
  getPoolInfo: read(),
  watchFilesystem: read({ path: 'read' }),
  getArchitecture: read(),
  getIscsiInitiator: read(),
  isMounted: read({ mountPath: 'read' }),
  validateHostname: read(),
  pickDiskDriverName: read(),
  getInstancePath: read(),
  getInstancePathAtDestination: read(),
};

const FILE: Readonly<Record<keyof typeof FileServiceService, Row>> = {
  chown: change({ path: 'write' }),
  chownForIdMaps: change({ path: 'write' }),
  deleteFile: change({ path: 'write' }),
  statFile: read({ path: 'read' }),
  touchFile: change({ path: 'write' }),
  // Reads content: a viewer may see facts of images, but not their content.
  readFile: long(change({ path: 'read' })),
  writeFile: change({ 'header.path': 'write' }),
  createDirectory: change({ path: 'write' }),
  removeDirectory: change({ path: 'write' }),
  listDirectory: long(read({ path: 'read' })),
  moveFile: change({ source: 'write', target: 'write' }),
};

const OPERATION: Readonly<Record<keyof typeof OperationServiceService, Row>> = {
  getOperation: long(read()),
  listOperations: long(read()),
  getOperationLog: long(read()),
  watchOperation: read(),
  watchOperations: read(),
  cancelOperation: change(),
};

const COMMAND: Readonly<Record<keyof typeof CommandServiceService, Row>> = {
  execute: { ...change(), command: 'name' },
};

export const RPC_TABLE = {
  ImageService: IMAGE,
  HostInfoService: HOST,
  FileService: FILE,
  OperationService: OPERATION,
  CommandService: COMMAND,
} as const;
export type ServiceName = keyof typeof RPC_TABLE;
export type RpcRow = Row;
