import { constants } from 'node:fs';
import { breathe } from '../../domain/model/async.js';
import { crc32 } from 'node:zlib';
import { fromRandomAccessReaderPromise, getFileNameLowLevel, type Entry, type ZipFile } from 'yauzl';
import { asHostlerError, HostlerError } from '../../domain/model/errors.js';
import type { ArchiveMember } from '../../domain/ports/sources.js';
import { GuardedFile, guardOf } from '../files/guarded-file.js';
import {
  assertName,
  brokenArchive,
  listingTooLong,
  MAX_LISTING_BYTES,
  MAX_MEMBERS,
  tooMany,
} from './broken-archive.js';
import { ZipReader } from './zip-reader.js';
import type { AddressedFile } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Members that are processed in one turn of the event loop. */
const AT_ONCE = 100;
/** The upper half of a member's attributes is the mode if the archive was made on Unix. */
const [UNIX, TYPE_MASK, REGULAR] = [3, 0o170000, 0o100000];

/** The extra field with the name in UTF-8, after a version and a checksum. */
const [UNICODE_NAME, BEFORE_NAME] = [0x7075, 5];

interface Named {
  readonly entry: Entry;
  readonly name: string;
}

/** From APPNOTE.TXT, 4.4.5. */
const METHODS: ReadonlyMap<number, string> = new Map([
  [1, 'Shrink'],
  [6, 'Implode'],
  [9, 'Deflate64'],
  [12, 'BZip2'],
  [14, 'LZMA'],
  [20, 'Zstandard'],
  [93, 'Zstandard'],
  [95, 'XZ'],
  [98, 'PPMd'],
]);

/** Reads zip files with yauzl, which trusts the central directory at the end, as all tools do. */
export class ZipArchive {
  list(file: AddressedFile, tool: ToolRun): Promise<readonly ArchiveMember[]> {
    return withZip(file, tool, async (zip) => {
      const members: ArchiveMember[] = [];
      for await (const { entry, name } of filesOf(zip, file, tool))
        members.push({ name, sizeBytes: BigInt(entry.uncompressedSize), ...sealed(entry) });
      return members;
    });
  }

  read(
    file: AddressedFile,
    member: ArchiveMember,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<void> {
    return withZip(file, tool, async (zip) => {
      for await (const { entry, name } of filesOf(zip, file, tool)) {
        if (name !== member.name) continue;
        await readEntry(zip, { entry, name }, take, tool);
        return;
      }
      throw brokenArchive(file, `${member.name} is no longer there`);
    });
  }
}

function sealed(entry: Entry): Pick<ArchiveMember, 'sealed'> {
  if (entry.canDecodeFileData()) return {};
  if (entry.isEncrypted()) return { sealed: 'encrypted' };
  const method = METHODS.get(entry.compressionMethod) ?? `method ${String(entry.compressionMethod)}`;
  return { sealed: `compressed by ${method}` };
}

async function readEntry(
  zip: ZipFile,
  { entry, name }: Named,
  take: (piece: Uint8Array) => Promise<void>,
  tool: ToolRun,
): Promise<void> {
  let sum = 0;
  const stream = await zip.openReadStreamPromise(entry);
  // A reader that stops early destroys the stream. yauzl checks that the length is that of the
  // directory.
  for await (const piece of stream) {
    tool.signal.throwIfAborted();
    if (!(piece instanceof Buffer)) continue;
    sum = crc32(piece, sum);
    await take(piece);
  }
  if (sum !== entry.crc32) throw new Error(`the checksum of ${name} is wrong`);
}

/** The regular files. The size of the directory is checked before it is read. */
async function* filesOf(zip: ZipFile, file: AddressedFile, tool: ToolRun): AsyncGenerator<Named> {
  let [count, bytes] = [0, 0];
  for await (const entry of zip.eachEntry()) {
    if (++count > MAX_MEMBERS) throw tooMany(file);
    bytes += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    if (bytes > MAX_LISTING_BYTES) throw listingTooLong(file);
    if (count % AT_ONCE === 0) await breathe();
    tool.signal.throwIfAborted();
    const name = nameOf(entry, file);
    if (isFile(entry, name)) yield { entry, name };
  }
}

/**
 * The first extra field with a UTF-8 name counts: checking each one costs a checksum of the other
 * name.
 */
function nameOf({ fileNameRaw, extraFields, generalPurposeBitFlag }: Entry, file: AddressedFile): string {
  const unicode = extraFields.find(({ id }) => id === UNICODE_NAME);
  assertName(file, Math.max(fileNameRaw.length, (unicode?.data.length ?? 0) - BEFORE_NAME));
  return getFileNameLowLevel(generalPurposeBitFlag, fileNameRaw, unicode === undefined ? [] : [unicode], false);
}

function isFile({ versionMadeBy, externalFileAttributes }: Entry, name: string): boolean {
  const type = (externalFileAttributes >>> 16) & TYPE_MASK;
  return !name.endsWith('/') && (versionMadeBy >> 8 !== UNIX || type === 0 || type === REGULAR);
}

/**
 * yauzl does not decode names and comments, which takes milliseconds for a long one; only the
 * needed names are decoded here.
 */
const PLAINLY = { lazyEntries: true, autoClose: false, decodeStrings: false };

async function withZip<T>(file: AddressedFile, tool: ToolRun, use: (zip: ZipFile) => Promise<T>): Promise<T> {
  const guarded = { ...file, ...guardOf(file, file.address) };
  const bytes = await GuardedFile.open(guarded, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const length = Number(await bytes.size());
    return await use(await fromRandomAccessReaderPromise(new ZipReader(bytes), length, PLAINLY));
  } catch (error) {
    if (tool.signal.aborted) throw asHostlerError(tool.signal.reason);
    if (error instanceof HostlerError) throw error;
    throw brokenArchive(file, error instanceof Error ? error.message : String(error));
  } finally {
    await bytes.close();
  }
}
