import { isUtf8 } from 'node:buffer';
import { createDirectory } from '../../domain/folders/create-directory.js';
import { listDirectory, type ListPorts } from '../../domain/folders/list-directory.js';
import { moveFile } from '../../domain/folders/move-file.js';
import { removeDirectory } from '../../domain/folders/remove-directory.js';
import type { RewritePorts } from '../../domain/folders/rewritten-names.js';
import type { Operations } from '../../domain/operations/engine.js';
import type { FileKind } from '../../domain/ports/handles.js';
import type { ListedEntry } from '../../domain/ports/trees.js';
import { DirectoryEntry, FileType, type FileServiceService } from '../../gen/hostler/v1/file_service.js';
import { timeOfNs } from '../../protocol/times.js';
import { parseCreateDirectory, parseListDirectory, parseMoveFile, parseRemoveDirectory, tokenOf } from './requests.js';
import type { Handlers } from '../handler.js';
import { pageOf } from '../pages.js';
import { longRunning } from '../running.js';

export type FolderPorts = RewritePorts & ListPorts;

const TYPES: Readonly<Record<FileKind, FileType>> = {
  file: FileType.FILE_TYPE_REGULAR,
  folder: FileType.FILE_TYPE_DIRECTORY,
  block: FileType.FILE_TYPE_BLOCK_DEVICE,
  link: FileType.FILE_TYPE_LINK,
  other: FileType.FILE_TYPE_OTHER,
};

type FolderRpcs = 'createDirectory' | 'removeDirectory' | 'listDirectory' | 'moveFile';

/** The handlers of FileService for folders and names. */
export function folderHandlers(
  operations: Operations,
  ports: FolderPorts,
): Pick<Handlers<typeof FileServiceService>, FolderRpcs> {
  const events = longRunning(operations);
  return {
    createDirectory: events(parseCreateDirectory, createDirectory(ports)),
    removeDirectory: events(parseRemoveDirectory, removeDirectory(ports)),
    moveFile: events(parseMoveFile, moveFile(ports)),
    async listDirectory(request, caller) {
      const spec = parseListDirectory(request);
      const { entries: listed, last } = await listDirectory(spec, caller, ports);
      const entries = await pageOf(listed, directoryEntry, (each) => DirectoryEntry.encode(each), caller.signal);
      // A page that reaches its size limit ends before its last name.
      const end = entries.length < listed.length ? listed[entries.length - 1]?.name : last;
      return { entries, nextPageToken: end === undefined ? '' : tokenOf(end, spec.address) };
    },
  };
}

function directoryEntry(entry: ListedEntry): DirectoryEntry {
  const { name, kind, lengthBytes: sizeBytes, allocatedBytes, mode, uid, gid } = entry;
  const bytes = Buffer.from(name);
  return {
    ...(isUtf8(bytes) ? { name: bytes.toString(), rawName: undefined } : { name: '', rawName: bytes }),
    fileType: TYPES[kind],
    sizeBytes,
    allocatedBytes,
    mode,
    uid,
    gid,
    modifyTime: timeOfNs(entry.modifyTimeNs),
  };
}
