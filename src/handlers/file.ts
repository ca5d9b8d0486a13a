import { deleteFile } from '../domain/verbs/delete-image.js';
import { chown, shiftOwners } from '../domain/files/chown.js';
import { DigestedInput } from '../domain/files/digested-input.js';
import type { Contents, Ownership } from '../domain/ports/files.js';
import { readFile } from '../domain/files/read-file.js';
import { statFile } from '../domain/files/stat-file.js';
import { touchFile } from '../domain/files/touch-file.js';
import { writeFile } from '../domain/files/write-file.js';
import type { Operations } from '../domain/operations/engine.js';
import type { Files } from '../domain/ports/images.js';
import { FileType, StatFileResponse, type FileServiceService } from '../gen/hostler/v1/file_service.js';
import { timeOfNs } from '../protocol/times.js';
import { mapStream, type Handlers } from './handler.js';
import {
  assertSameData,
  parseChown,
  parseDeleteFile,
  parseRead,
  parseShift,
  parseStat,
  parseTouch,
  parseWrite,
} from './file-requests.js';
import { folderHandlers, type FolderPorts } from './folders/handlers.js';
import { longRunning, resultOf } from './running.js';
import type { FileKind } from '../domain/ports/handles.js';
import type { Paths } from '../domain/ports/paths.js';

export interface FilePorts extends FolderPorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly contents: Contents;
  readonly ownership: Ownership;
}

const TYPES: Readonly<Record<FileKind, FileType>> = {
  file: FileType.FILE_TYPE_REGULAR,
  folder: FileType.FILE_TYPE_DIRECTORY,
  block: FileType.FILE_TYPE_BLOCK_DEVICE,
  // A link that was not followed; stat follows links.
  link: FileType.FILE_TYPE_OTHER,
  other: FileType.FILE_TYPE_OTHER,
};

/** FileService: parse, one domain call, map. */
export function fileHandlers(operations: Operations, ports: FilePorts): Handlers<typeof FileServiceService> {
  const events = longRunning(operations);
  const [remove, touch, write] = [deleteFile(ports), touchFile(ports), writeFile(ports)];
  return {
    ...folderHandlers(operations, ports),
    chown: events(parseChown, chown(ports)),
    chownForIdMaps: events(parseShift, shiftOwners(ports)),
    async deleteFile(request, caller) {
      const { spec, ask } = parseDeleteFile(request);
      const { existed } = await resultOf('delete', operations.start(remove, spec, ask, caller));
      return { existed };
    },
    async statFile(request) {
      const found = await statFile(parseStat(request), ports);
      if (found === undefined) return StatFileResponse.fromPartial({ exists: false });
      const { kind, lengthBytes: sizeBytes, allocatedBytes, mode, uid, gid } = found;
      const modifyTime = timeOfNs(found.modifyTimeNs);
      return { exists: true, fileType: TYPES[kind], sizeBytes, allocatedBytes, mode, uid, gid, modifyTime };
    },
    async touchFile(request, caller) {
      const { spec, ask } = parseTouch(request);
      const { existed } = await resultOf('touch', operations.start(touch, spec, ask, caller));
      return { existed };
    },
    async *readFile(request, caller) {
      yield* mapStream(readFile(parseRead(request), caller, ports), (piece) => ({ data: Buffer.from(piece) }));
    },
    async writeFile(requests, caller) {
      const { spec, ask, data } = await parseWrite(requests);
      if (ask.requestId === '') {
        const { writtenBytes } = await resultOf(
          'write',
          operations.start(write, spec, { ...ask, input: data }, caller),
        );
        return { writtenBytes };
      }
      const input = new DigestedInput(data);
      const started = operations.start(write, spec, { ...ask, input: input.pieces() }, caller);
      const { writtenBytes, sha256 } = await resultOf('write', started);
      assertSameData(ask.requestId, sha256, await input.digest());
      return { writtenBytes };
    },
  };
}
