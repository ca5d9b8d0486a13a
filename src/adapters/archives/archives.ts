import type { ArchiveKind, Archives, ArchiveMember } from '../../domain/ports/sources.js';
import type { TarArchive } from './tar-archive.js';
import type { ZipArchive } from './zip-archive.js';
import type { AddressedFile } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Reads archives, each kind with its own reader. */
export class LocalArchives implements Archives {
  constructor(private readonly kinds: { readonly tar: TarArchive; readonly zip: ZipArchive }) {}

  list(kind: ArchiveKind, file: AddressedFile, tool: ToolRun): Promise<readonly ArchiveMember[]> {
    return this.kinds[kind].list(file, tool);
  }

  read(
    kind: ArchiveKind,
    file: AddressedFile,
    member: ArchiveMember,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<void> {
    return this.kinds[kind].read(file, member, take, tool);
  }
}
