/** The file names in the header of an image. Makes synchronous calls, for worker threads. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { HostlerError } from '../../domain/model/errors.js';
import { cached } from '../../domain/formats/head.js';
import { detectFormat } from '../../domain/formats/magic.js';
import { READERS } from '../../domain/formats/readers.js';
import { isDescriptor } from '../../domain/formats/vmdk-descriptor.js';
import { pathsIn } from '../../domain/images/named-paths.js';
import type { ByteSource } from '../../domain/ports/images.js';
import { lengthNow } from '../linux/lengths.js';
import { withSharedHead } from './shared-heads.js';

/**
 * First bytes of formats whose headers can name files: qcow, qed, vmdk. A VMDK text descriptor can
 * begin in many ways.
 */
const MARKS = ['QFI\xfb', 'QED\0', 'KDMV', 'COWD', '# Disk'];
const HEAD_BYTES = 512;
/** One for all files: a buffer for each would be as much garbage. */
const firstBytes = Buffer.alloc(HEAD_BYTES);
/**
 * Limit of paths in a VMDK descriptor: each is resolved for every question, and thousands of images
 * may name missing files.
 */
const MAX_PATHS = 16;
const [QCOW2_NAME_END, MAX_NAME_BYTES] = [20, 1023];

/**
 * What the index knows of an image: the paths of files that it names, the data files in its folder,
 * and why it cannot be read.
 */
export interface Head {
  readonly names: readonly string[];
  readonly extents?: readonly string[];
  readonly bad?: string;
}

/**
 * Undefined if the file is not in a container format. Fails with system errors; no content of the
 * file makes it fail.
 * @param follow whether a link is followed, as devices are named by links
 */
export async function readNames(path: Buffer, follow: boolean): Promise<Head | undefined> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW);
  const fd = openSync(path, flags);
  try {
    if (!couldNameAnother(fd)) return undefined;
    const length = Number(lengthNow(fstatSync(fd, { bigint: true })));
    return await withSharedHead(fd, length, async (bytes) => namesIn(cached(bytes)));
  } finally {
    closeSync(fd);
  }
}

async function namesIn(bytes: ByteSource): Promise<Head | undefined> {
  const format = await detectFormat(bytes);
  if (format === 'raw') return undefined;
  try {
    const { backingFile, dataFile, extentNames = [] } = await READERS[format](bytes);
    const names = [backingFile, dataFile].flatMap((name) => (name === undefined ? [] : pathsIn(name)));
    // qemu also follows paths, so those are kept too; they are not read here.
    const paths = extentNames.filter((name) => name.includes('/')).slice(0, MAX_PATHS);
    const extents = extentNames.filter((name) => !name.includes('/'));
    return { names: [...names, ...paths], extents };
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'IMAGE_MALFORMED') throw error;
    // The tables are larger than the limit, or broken, but the image may still need its base.
    const backing = format === 'qcow2' ? await nameInQcow2(bytes) : undefined;
    return { bad: error.message, names: backing === undefined ? [] : pathsIn(backing) };
  }
}

/** The base name in a qcow2 whose tables cannot be read. */
async function nameInQcow2(bytes: ByteSource): Promise<string | undefined> {
  const head = await bytes.read(0n, QCOW2_NAME_END);
  if (head.length < QCOW2_NAME_END) return undefined;
  const length = head.readUInt32BE(16);
  if (length === 0 || length > MAX_NAME_BYTES) return undefined;
  const name = await bytes.read(head.readBigUInt64BE(8), length);
  return name.length < length || name.includes(0) ? undefined : name.toString('utf8');
}

/** Judged by its first bytes: in a tree of a million files few are images. */
function couldNameAnother(fd: number): boolean {
  const length = readSync(fd, firstBytes, 0, HEAD_BYTES, 0);
  const head = firstBytes.subarray(0, length);
  return MARKS.some((mark) => head.toString('latin1', 0, mark.length) === mark) || isDescriptor(head);
}
