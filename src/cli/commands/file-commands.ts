import { Command, InvalidArgumentError, Option } from 'commander';
import {
  DeleteFileResponse,
  FileType,
  StatFileResponse,
  TouchFileResponse,
  WriteFileResponse,
  type IdMap,
  type WriteFileRequest,
} from '../../gen/hostler/v1/file_service.js';
import { timeText } from '../../protocol/times.js';
import { ask, askStreaming } from '../connection.js';
import type { Context } from '../context.js';
import { events } from '../follow.js';
import { EXIT } from '../help/exit-codes.js';
import { openReadable } from '../local-file.js';
import { askOf, byteCount, octal, operationOptions, type OperationFlags } from '../options.js';
import { exactBytes, listing } from '../text.js';
import { folderCommands } from './folder-commands.js';

/** Best size of a gRPC message. */
const PIECE_BYTES = 256 * 1024;

/** `hostler file …`: files that are not images. */
export function fileCommands(context: Context): Command[] {
  return [
    chown(context),
    shift(context),
    remove(context),
    stat(context),
    touch(context),
    read(context),
    write(context),
    ...folderCommands(context),
  ];
}

function chown(context: Context): Command {
  return operationOptions(new Command('chown'))
    .description('change the owner of a file or tree; links themselves are changed, not followed')
    .argument('<owner>', 'USER, USER:GROUP or :GROUP, by name or number')
    .argument('<path>')
    .option('-R, --recursive', 'the whole tree below it too')
    .action((owner: string, path: string, flags: OperationFlags & { recursive?: true }) =>
      context.follow(flags, ({ files, at }) =>
        files.chown({ path: at(path), owner, recursive: flags.recursive ?? false, ...askOf(flags) }),
      ),
    );
}

function shift(context: Context): Command {
  return operationOptions(new Command('shift-ids'))
    .description('shift every owner of a tree through id maps')
    .argument('<path>')
    .option('--uid-map <start:target:count>', 'for users; may be given more than once', collectMap, [])
    .option('--gid-map <start:target:count>', 'for groups; may be given more than once', collectMap, [])
    .action((path: string, flags: OperationFlags & { uidMap: IdMap[]; gidMap: IdMap[] }) =>
      context.follow(flags, ({ files, at }) =>
        files.chownForIdMaps({ path: at(path), uidMaps: flags.uidMap, gidMaps: flags.gidMap, ...askOf(flags) }),
      ),
    );
}

function remove(context: Context): Command {
  return new Command('rm')
    .description('remove one file')
    .argument('<path>')
    .option('--missing-ok', 'succeed when there is none')
    .option('--request-id <id>', 'idempotency key', '')
    .action((path: string, { missingOk = false, requestId }: { missingOk?: boolean; requestId: string }) =>
      context.use(async ({ files, at }) => {
        const answer = await ask<DeleteFileResponse>((done) =>
          files.deleteFile({ path: at(path), missingOk, requestId }, done),
        );
        context.print(DeleteFileResponse, answer, answer.existed ? 'removed' : 'nothing was there');
      }),
    );
}

function stat(context: Context): Command {
  return new Command('stat')
    .description('whether a path exists, and what it is')
    .argument('<path>')
    .action((path: string) =>
      context.use(async ({ files, at }) => {
        const answer = await ask<StatFileResponse>((done) => files.statFile({ path: at(path) }, done));
        const text = listing([
          ['type', FileType[answer.fileType].replace('FILE_TYPE_', '').toLowerCase().replace('_', ' ')],
          ['size', exactBytes(answer.sizeBytes)],
          ['on disk', exactBytes(answer.allocatedBytes)],
          ['mode', `0${answer.mode.toString(8).padStart(3, '0')}`],
          ['owner', `${String(answer.uid)}:${String(answer.gid)}`],
          ['modified', answer.modifyTime && timeText(answer.modifyTime)],
        ]);
        context.print(StatFileResponse, answer, answer.exists ? text : 'does not exist');
        process.exitCode = answer.exists ? EXIT.ok : EXIT.other;
      }),
    );
}

function touch(context: Context): Command {
  return new Command('touch')
    .description('set the modification time to now; creates nothing')
    .argument('<path>')
    .option('--request-id <id>', 'idempotency key', '')
    .action((path: string, { requestId }: { requestId: string }) =>
      context.use(async ({ files, at }) => {
        const answer = await ask<TouchFileResponse>((done) => files.touchFile({ path: at(path), requestId }, done));
        context.print(TouchFileResponse, answer, answer.existed ? 'touched' : 'nothing was there');
      }),
    );
}

function read(context: Context): Command {
  return new Command('cat')
    .description('write a file to standard output')
    .argument('<path>')
    .addOption(new Option('--offset <bytes>', 'where to start').argParser(byteCount).default(0n, '0'))
    .option('--length <bytes>', 'length; to the end by default', byteCount)
    .action((path: string, { offset, length }: { offset: bigint; length?: bigint }) =>
      context.use(async ({ files, at }) => {
        const stream = files.readFile({ path: at(path), offset, length });
        for await (const { data } of events(stream))
          if (!process.stdout.write(data)) await new Promise((resolve) => process.stdout.once('drain', resolve));
      }),
    );
}

interface WriteFlags {
  readonly from?: string;
  readonly umask?: number;
  readonly offset?: bigint;
  readonly append?: true;
  readonly requestId: string;
}

function write(context: Context): Command {
  return new Command('write')
    .description('replace a file by standard input, or write into it')
    .argument('<path>')
    .option('--from <file>', 'instead of standard input')
    .option('--umask <octal>', 'of a new file', octal)
    .option('--offset <bytes>', 'write here into the existing file', byteCount)
    .option('--append', 'write at the end of the existing file')
    .option('--request-id <id>', 'idempotency key', '')
    .action((path: string, { from, append, umask, offset, requestId }: WriteFlags) =>
      context.use(async ({ files, at }) => {
        const input =
          from === undefined
            ? process.stdin
            : (await openReadable(from)).createReadStream({ highWaterMark: PIECE_BYTES });
        const pieces: AsyncIterable<Buffer> = input;
        const header = { path: at(path), umask, offset, append: append ?? false, requestId };
        try {
          const answer = await askStreaming<WriteFileResponse, WriteFileRequest>(
            (done) => files.writeFile(done),
            async (send) => {
              await send({ content: { $case: 'header', value: header } });
              for await (const data of pieces) await send({ content: { $case: 'data', value: data } });
            },
          );
          context.print(WriteFileResponse, answer, `${exactBytes(answer.writtenBytes)} written`);
        } finally {
          input.destroy();
        }
      }),
    );
}

function collectMap(text: string, maps: IdMap[]): IdMap[] {
  const numbers = text.split(':').map(Number);
  if (numbers.length !== 3 || numbers.some((number) => !Number.isSafeInteger(number)))
    throw new InvalidArgumentError('must be START:TARGET:COUNT');
  const [start, target, count] = numbers;
  return [...maps, { start, target, count }];
}
