/**
 * Reads VMDK headers: hosted sparse extents, text descriptors, ESX redo logs. The source of every
 * rule is block/vmdk.c of qemu.
 */
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, malformed, readExactly, sectors, tableFindings, units } from './facts.js';
import { parentName, subformatOf, upToNul } from './vmdk-descriptor.js';
import { contentIds, readExtents } from './vmdk-extents.js';

const HEADER_BYTES = 512;
const SPARSE_MAGIC = 'KDMV';
const ESX_MAGIC = 'COWD';
const MAX_VERSION = 3;
/** In this case only the footer names the grain directory. */
const AT_END = 2n ** 64n - 1n;
/** Sectors of footer marker, footer and end marker, and the footer's distance from the end. */
const [FOOTER_MARKER, FOOTER_FROM_END] = [3, 1536n];
const MAX_GRAIN_SECTORS = 0x200000n;
const DIRECTORY_ENTRY_BYTES = 4n;
/** There is a second grain directory, which qemu reads too. */
const FLAG_SECOND_DIRECTORY = 2;
const MAX_ENTRIES = 512;
/** Room for three thousand file names; qemu reads 1 MiB of a descriptor. */
const MAX_DESCRIPTOR_BYTES = 256 << 10;
/** Where qemu searches for the parent in a file with a header, whatever the header says. */
const EMBEDDED_OFFSET = 512n;

/** Facts of a VMDK: a sparse file, or a descriptor of several files. Fails with IMAGE_MALFORMED. */
export async function readVmdk(bytes: ByteSource): Promise<ImageFacts> {
  const head = await bytes.read(0n, HEADER_BYTES);
  const magic = head.toString('latin1', 0, 4);
  const isText = magic !== SPARSE_MAGIC && magic !== ESX_MAGIC;
  const textOffset = isText ? 0n : EMBEDDED_OFFSET;
  const [backingFile, subformat] = [await parentName(bytes, textOffset), await subformatOf(bytes, textOffset)];
  const facts = isText
    ? await readDescriptor(await descriptorText(bytes, 0n, bytes.lengthBytes), { hasParent: backingFile !== undefined })
    : await readBinary(bytes, head);
  return {
    ...facts,
    ...(subformat === undefined ? {} : { subformat }),
    ...(backingFile === undefined ? {} : { backingFile, backingFormat: 'vmdk' }),
  };
}

async function readBinary(bytes: ByteSource, head: Buffer): Promise<ImageFacts> {
  if (head.length < HEADER_BYTES) throw malformed('vmdk', 'the file is shorter than the header');
  if (head.toString('latin1', 0, 4) === ESX_MAGIC) return readEsx(head);
  if (head.readBigUInt64LE(12) === 0n)
    return readDescriptor(
      await descriptorText(bytes, sectors(head.readBigUInt64LE(28)), sectors(head.readBigUInt64LE(36))),
      { problem: 'it lies in a file with a header' },
    );
  return readSparse(bytes, head.readBigUInt64LE(56) === AT_END ? await footer(bytes) : head);
}

function readSparse(bytes: ByteSource, head: Buffer): ImageFacts {
  const [version, grain, perTable] = [head.readUInt32LE(4), head.readBigUInt64LE(20), head.readUInt32LE(44)];
  if (version > MAX_VERSION) throw malformed('vmdk', `the version is ${String(version)}`);
  if (grain === 0n || grain > MAX_GRAIN_SECTORS) throw malformed('vmdk', `a grain has ${String(grain)} sectors`);
  if (perTable === 0 || perTable > MAX_ENTRIES)
    throw malformed('vmdk', `a grain table has ${String(perTable)} entries`);
  const size = sectors(head.readBigUInt64LE(12));
  const directoryBytes = units(size, sectors(grain) * BigInt(perTable)) * DIRECTORY_ENTRY_BYTES;
  const directory = (what: string, at: number) =>
    tableFindings(bytes, {
      what,
      offset: sectors(head.readBigUInt64LE(at)),
      lengthBytes: directoryBytes,
      neededBytes: directoryBytes,
    });
  const hasSecond = (head.readUInt32LE(8) & FLAG_SECOND_DIRECTORY) !== 0 && head.readBigUInt64LE(48) !== 0n;
  return imageFacts('vmdk', size, {
    clusterSizeBytes: sectors(grain),
    findings: [...directory('grain directory', 56), ...(hasSecond ? directory('second grain directory', 48) : [])],
  });
}

async function footer(bytes: ByteSource): Promise<Buffer> {
  if (bytes.lengthBytes < FOOTER_FROM_END) throw malformed('vmdk', 'the file is shorter than the footer');
  const end = await readExactly(bytes, bytes.lengthBytes - FOOTER_FROM_END, Number(FOOTER_FROM_END), 'vmdk');
  const found = end.subarray(HEADER_BYTES, 2 * HEADER_BYTES);
  if (end.readUInt32LE(12) !== FOOTER_MARKER || found.toString('latin1', 0, 4) !== SPARSE_MAGIC)
    throw malformed('vmdk', 'the footer is missing');
  return found;
}

async function descriptorText(bytes: ByteSource, offset: bigint, length: bigint): Promise<string> {
  if (length > BigInt(MAX_DESCRIPTOR_BYTES)) throw malformed('vmdk', `the descriptor has ${String(length)} bytes`);
  return upToNul(await bytes.read(offset, Number(length))).toString('utf8');
}

/** The size is the sum of the extents, which are not opened. */
async function readDescriptor(
  text: string,
  where: { readonly hasParent?: boolean; readonly problem?: string },
): Promise<ImageFacts> {
  const { sizeBytes, extents, names, problem: ofLines } = await readExtents(text);
  if (sizeBytes === undefined) throw malformed('vmdk', 'the descriptor names no extent');
  const zeros = where.hasParent === true && extents.some(({ kind }) => kind === 'zero');
  const problem = where.problem ?? ofLines ?? (zeros ? 'it has zeros over the content of its parent' : undefined);
  const message = `the VMDK is a descriptor that names the files with its data${problem === undefined ? '' : `; ${problem}`}`;
  return imageFacts('vmdk', sizeBytes, {
    findings: [{ reason: 'NAMES_OTHER_FILES', message }],
    extentNames: names,
    ...(problem === undefined ? { described: { ...contentIds(text), extents } } : {}),
  });
}

function readEsx(head: Buffer): ImageFacts {
  const grain = head.readUInt32LE(16);
  if (grain === 0 || BigInt(grain) > MAX_GRAIN_SECTORS) throw malformed('vmdk', `a grain has ${String(grain)} sectors`);
  return imageFacts('vmdk', sectors(head.readUInt32LE(12)), {
    clusterSizeBytes: sectors(grain),
    findings: [{ reason: 'NAMES_OTHER_FILES', message: 'an ESX redo log lies over another disk' }],
  });
}
