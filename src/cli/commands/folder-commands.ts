import { Command } from 'commander';
import { FileType, ListDirectoryResponse, type DirectoryEntry } from '../../gen/hostler/v1/file_service.js';
import { timeText } from '../../protocol/times.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { askOf, octal, operationOptions, type OperationFlags } from '../options.js';
import { bytes, table } from '../text.js';

/** `hostler file …`: folders and names. */
export function folderCommands(context: Context): Command[] {
  return [list(context), ...changingFolderCommands(context)];
}

/** The commands that change something; they also have a short form, without `file`. */
export function changingFolderCommands(context: Context): Command[] {
  return [make(context), remove(context), move(context)];
}

interface MakeFlags extends OperationFlags {
  readonly parents?: true;
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

function make(context: Context): Command {
  return operationOptions(new Command('mkdir'))
    .description('make a folder; one that is there already stays as it is')
    .argument('<path>')
    .option('-p, --parents', 'missing folders above it too')
    .option('--owner <owner>', 'owner of the new folders, a name or number')
    .option('--group <group>', 'group of the new folders, a name or number')
    .option('--mode <octal>', 'mode of the new folders, such as 0750', octal)
    .action((path: string, { owner, group, mode, parents, ...flags }: MakeFlags) =>
      context.follow(flags, ({ files, at }) =>
        files.createDirectory({
          path: at(path),
          parents: parents ?? false,
          attributes: { owner, group, mode },
          ...askOf(flags),
        }),
      ),
    );
}

function remove(context: Context): Command {
  return operationOptions(new Command('rmdir'))
    .description('remove an empty folder, or one with all that is in it')
    .argument('<path>')
    .option('-R, --recursive', 'with all that is in it, unless images are in use or needed elsewhere')
    .option('--missing-ok', 'succeed when there is none')
    .action((path: string, flags: OperationFlags & { recursive?: true; missingOk?: true }) =>
      context.follow(flags, ({ files, at }) =>
        files.removeDirectory({
          path: at(path),
          recursive: flags.recursive ?? false,
          missingOk: flags.missingOk ?? false,
          ...askOf(flags),
        }),
      ),
    );
}

function move(context: Context): Command {
  return operationOptions(new Command('mv'))
    .description('give a file or folder another name on the same filesystem')
    .argument('<source>')
    .argument('<target>', 'the new name itself, never a folder to move into')
    .option('--overwrite', 'replace a file that has the name')
    .option('--rewrite-backing-files', 'write the new name into the headers of images that need it')
    .action(
      (source: string, target: string, flags: OperationFlags & { overwrite?: true; rewriteBackingFiles?: true }) =>
        context.follow(flags, ({ files, at }) =>
          files.moveFile({
            source: at(source),
            target: at(target),
            overwrite: flags.overwrite ?? false,
            rewriteBackingFiles: flags.rewriteBackingFiles ?? false,
            ...askOf(flags),
          }),
        ),
    );
}

function list(context: Context): Command {
  return new Command('ls')
    .description('what is in a folder, in the order of the names')
    .argument('<path>')
    .action((path: string) =>
      context.use(async ({ files, at }) => {
        const entries: DirectoryEntry[] = [];
        for (let pageToken = ''; ;) {
          const request = { path: at(path), pageSize: 0, pageToken };
          const page = await ask<ListDirectoryResponse>((done) => files.listDirectory(request, done));
          entries.push(...page.entries);
          pageToken = page.nextPageToken;
          if (pageToken === '') break;
        }
        const header = ['type', 'mode', 'owner', 'size', 'on disk', 'modified', 'name'];
        context.print(ListDirectoryResponse, { entries, nextPageToken: '' }, table(header, entries.map(row)));
      }),
    );
}

function row(entry: DirectoryEntry): string[] {
  return [
    FileType[entry.fileType].replace('FILE_TYPE_', '').toLowerCase().replace('_', ' '),
    `0${entry.mode.toString(8).padStart(3, '0')}`,
    `${String(entry.uid)}:${String(entry.gid)}`,
    bytes(entry.sizeBytes),
    bytes(entry.allocatedBytes),
    entry.modifyTime === undefined ? '' : timeText(entry.modifyTime),
    // No call accepts such a name.
    entry.rawName === undefined ? entry.name : `${entry.rawName.toString('latin1')} (not UTF-8)`,
  ];
}
