/** The RPCs of FileService. */
import {
  FileServiceService,
  ChownRequest,
  CreateDirectoryRequest,
  DeleteFileRequest,
  ListDirectoryRequest,
  MoveFileRequest,
  ReadFileRequest,
  RemoveDirectoryRequest,
  StatFileRequest,
  TouchFileRequest,
  WriteFileRequest,
  type DeepPartial,
} from '../../src/gen/hostler/v1/file_service.js';
import { rpc } from './rpc.js';

export const chown = rpc(FileServiceService.chown, (fields: DeepPartial<ChownRequest>) =>
  ChownRequest.fromPartial(fields),
);
export const deleteFile = rpc(FileServiceService.deleteFile, (fields: DeepPartial<DeleteFileRequest>) =>
  DeleteFileRequest.fromPartial(fields),
);
export const statFile = rpc(FileServiceService.statFile, (fields: DeepPartial<StatFileRequest>) =>
  StatFileRequest.fromPartial(fields),
);
export const touchFile = rpc(FileServiceService.touchFile, (fields: DeepPartial<TouchFileRequest>) =>
  TouchFileRequest.fromPartial(fields),
);
export const readFile = rpc(FileServiceService.readFile, (fields: DeepPartial<ReadFileRequest>) =>
  ReadFileRequest.fromPartial(fields),
);
export const writeFile = rpc(FileServiceService.writeFile, (fields: DeepPartial<WriteFileRequest>) =>
  WriteFileRequest.fromPartial(fields),
);
export const createDirectory = rpc(FileServiceService.createDirectory, (fields: DeepPartial<CreateDirectoryRequest>) =>
  CreateDirectoryRequest.fromPartial(fields),
);
export const removeDirectory = rpc(FileServiceService.removeDirectory, (fields: DeepPartial<RemoveDirectoryRequest>) =>
  RemoveDirectoryRequest.fromPartial(fields),
);
export const listDirectory = rpc(FileServiceService.listDirectory, (fields: DeepPartial<ListDirectoryRequest>) =>
  ListDirectoryRequest.fromPartial(fields),
);
export const moveFile = rpc(FileServiceService.moveFile, (fields: DeepPartial<MoveFileRequest>) =>
  MoveFileRequest.fromPartial(fields),
);
