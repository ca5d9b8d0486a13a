import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { breathe } from '../../domain/waiting.js';
import { crc32 } from 'node:zlib';
import { fromFdPromise, type Entry, type ZipFile } from 'yauzl';
import { asHostlerError, HostlerError } from '../../domain/errors.js';
import type { Member } from '../../domain/fetch/ports.js';
import type { AddressedFile, ToolRun } from '../../domain/ports.js';
import { errnoOf, systemError } from '../errno.js';
import { procPath } from '../handles.js';
import { brokenArchive, MAX_MEMBERS, tooMany } from './broken-archive.js';

/** Members that are looked at in one turn. */
const AT_ONCE = 100;
/** The upper half of a member's attributes is the mode, where Unix made it. */
const [UNIX, TYPE_MASK, REGULAR] = [3, 0o170000, 0o100000];

/** By yauzl, which takes the directory at the end for true, as everybody does. */
export class ZipArchive {
  list(file: AddressedFile, run: ToolRun): Promise<readonly Member[]> {
    return withZip(file, run, async (zip) => {
      const members: Member[] = [];
      for await (const entry of entriesOf(zip, file, run))
        if (isFile(entry)) members.push({ name: entry.fileName, sizeBytes: BigInt(entry.uncompressedSize) });
      return members;
    });
  }

  read(file: AddressedFile, { name }: Member, take: (piece: Uint8Array) => Promise<void>, run: ToolRun): Promise<void> {
    return withZip(file, run, async (zip) => {
      for await (const entry of entriesOf(zip, file, run)) {
        if (entry.fileName !== name || !isFile(entry)) continue;
        if (!entry.canDecodeFileData())
          throw brokenArchive(file, `${name} is encrypted, or compressed by another method`);
        await readEntry(zip, entry, take, run);
        return;
      }
      throw brokenArchive(file, `${name} is no longer there`);
    });
  }
}

async function readEntry(
  zip: ZipFile,
  entry: Entry,
  take: (piece: Uint8Array) => Promise<void>,
  run: ToolRun,
): Promise<void> {
  let sum = 0;
  const stream = await zip.openReadStreamPromise(entry);
  // Left in the middle it is destroyed. Its length is what the directory says: yauzl sees to that.
  for await (const piece of stream) {
    run.signal.throwIfAborted();
    if (!(piece instanceof Buffer)) continue;
    sum = crc32(piece, sum);
    await take(piece);
  }
  if (sum !== entry.crc32) throw new Error(`the checksum of ${entry.fileName} is wrong`);
}

async function* entriesOf(zip: ZipFile, file: AddressedFile, run: ToolRun): AsyncGenerator<Entry> {
  let count = 0;
  for await (const entry of zip.eachEntry()) {
    if (++count > MAX_MEMBERS) throw tooMany(file);
    if (count % AT_ONCE === 0) await breathe();
    run.signal.throwIfAborted();
    yield entry;
  }
}

function isFile({ fileName, versionMadeBy, externalFileAttributes }: Entry): boolean {
  const type = (externalFileAttributes >>> 16) & TYPE_MASK;
  return !fileName.endsWith('/') && (versionMadeBy >> 8 !== UNIX || type === 0 || type === REGULAR);
}

async function withZip<T>(file: AddressedFile, run: ToolRun, use: (zip: ZipFile) => Promise<T>): Promise<T> {
  const bytes = await open(procPath(file), constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw systemError(error, file.address);
  });
  try {
    return await use(await fromFdPromise(bytes.fd, { lazyEntries: true, autoClose: false, strictFileNames: false }));
  } catch (error) {
    if (run.signal.aborted) throw asHostlerError(run.signal.reason);
    if (error instanceof HostlerError) throw error;
    if (errnoOf(error) !== undefined && !String(errnoOf(error)).startsWith('Z_'))
      throw systemError(error, file.address);
    throw brokenArchive(file, error instanceof Error ? error.message : String(error));
  } finally {
    await bytes.close();
  }
}
