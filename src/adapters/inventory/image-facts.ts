/** The facts that the inventory stores for a file. Makes synchronous calls, for worker threads. */
import { readSync } from 'node:fs';
import { HostlerError } from '../../domain/model/errors.js';
import { imageFacts } from '../../domain/formats/facts.js';
import { HEAD_BYTES, cached } from '../../domain/formats/head.js';
import { detectFormat, otherMarks } from '../../domain/formats/magic.js';
import { READERS } from '../../domain/formats/readers.js';
import type { ImageFormat } from '../../domain/model/image-format.js';
import type { ImageFacts } from '../../domain/model/image-info.js';
import { SECTOR_BYTES, roundUp } from '../../domain/model/size.js';
import type { ByteSource } from '../../domain/ports/images.js';
import type { InventoryFacts } from '../../domain/ports/inventory.js';
import { withHeadBuffer } from '../index/shared-heads.js';
import type { Inode } from './files-at.js';
import { nextData } from '../linux/next-data.js';
import { JudgedHeads, type Part } from './judged-heads.js';

/** Longer messages are truncated, to keep rows small. */
const MAX_WORDS = 300;
/** Before more is read, the file is asked where it has data. */
const FIRST_BYTES = 4096;
const NO_BYTES = Buffer.alloc(0);
/** A file of which more is read is judged each time. */
const [MOST_PARTS, MOST_PART_BYTES] = [8, 16 * 1024];
/** The content of a hole; never written to. */
const ZEROS = Buffer.alloc(4096);

/** What the content says: packed for a row, and the name of the backing file in it. */
interface Judgement {
  readonly packed: string;
  readonly base?: string;
}

const judged = new JudgedHeads<Judgement>();

/**
 * The facts of an open regular file, packed for its row, and the name of its backing file. Fails
 * with system errors; no content of the file makes it fail.
 */
export async function readFacts(fd: number, inode: Inode): Promise<{ readonly facts: string; readonly base?: string }> {
  const { packed, base } = await withHeadBuffer((buffer) => judgementOf(fd, inode, buffer));
  return { facts: `${packInode(inode)} ${packed}`, ...(base === undefined ? {} : { base }) };
}

async function judgementOf(fd: number, { lengthBytes }: Inode, buffer: Buffer): Promise<Judgement> {
  const length = Number(lengthBytes);
  const file = new HeadFirst(fd, length, buffer);
  const known = judged.find(file.head, length, (offset, wanted) => file.at(offset, wanted));
  if (known !== undefined) return known;
  const judgement = await judge(file, lengthBytes);
  if (file.parts !== undefined) judged.keep(file.head, length, file.parts, judgement);
  return judgement;
}

/** Reads the head into a shared buffer, so results must not point into it. */
class HeadFirst implements ByteSource {
  readonly head: Buffer;
  /** What was read beside the head; undefined: too much to compare it again. */
  parts: Part[] | undefined = [];
  /** Where data begins behind the first bytes. */
  readonly #data: number;

  constructor(
    private readonly fd: number,
    private readonly length: number,
    buffer: Buffer,
  ) {
    const wanted = Math.min(length, HEAD_BYTES);
    let count = wanted === 0 ? 0 : readSync(fd, buffer, 0, Math.min(wanted, FIRST_BYTES), 0);
    this.#data = length > FIRST_BYTES ? nextData(fd, FIRST_BYTES) : Infinity;
    if (count === FIRST_BYTES && wanted > count) count += this.#fill(buffer.subarray(FIRST_BYTES, wanted), FIRST_BYTES);
    this.head = buffer.subarray(0, count);
  }

  get lengthBytes(): bigint {
    return BigInt(this.length);
  }

  read(offset: bigint, wanted: number): Promise<Buffer> {
    if (offset === 0n && wanted === HEAD_BYTES) return Promise.resolve(this.head);
    const [at, bytes] = [Number(offset), this.at(Number(offset), wanted)];
    if (this.parts?.length === MOST_PARTS || bytes.length > MOST_PART_BYTES) this.parts = undefined;
    this.parts?.push({ offset: at, wanted, bytes });
    return Promise.resolve(bytes);
  }

  /** The bytes at an offset; headers can name any offset and length. */
  at(offset: number, wanted: number): Buffer {
    const left = Math.min(wanted, this.length - offset);
    if (left <= 0) return NO_BYTES;
    // In most files that are asked for their last bytes there is a hole.
    if (offset >= FIRST_BYTES && offset + left <= this.#data && left <= ZEROS.length) return ZEROS.subarray(0, left);
    const bytes = Buffer.alloc(left);
    return bytes.subarray(0, this.#fill(bytes, offset));
  }

  /** Fills new bytes, or those of a head, and returns how many there are. */
  #fill(bytes: Buffer, offset: number): number {
    if (offset < FIRST_BYTES || offset + bytes.length > this.#data)
      return readSync(this.fd, bytes, 0, bytes.length, offset);
    bytes.fill(0);
    return bytes.length;
  }
}

async function judge(file: ByteSource, lengthBytes: bigint): Promise<Judgement> {
  const bytes = cached(file);
  const found = await factsAs(await detectFormat(bytes), bytes, lengthBytes);
  const base = found.facts.backingFile;
  return { packed: packContent(found), ...(base === undefined ? {} : { base }) };
}

interface Found {
  readonly facts: ImageFacts;
  readonly malformed?: string;
}

async function factsAs(format: ImageFormat, bytes: ByteSource, lengthBytes: bigint): Promise<Found> {
  if (format === 'raw') return { facts: imageFacts('raw', roundUp(lengthBytes, SECTOR_BYTES)) };
  try {
    const facts = await READERS[format](bytes);
    return { facts: { ...facts, findings: [...facts.findings, ...(await otherMarks(bytes, format))] } };
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'IMAGE_MALFORMED') throw error;
    return { facts: imageFacts(format, 0n), malformed: error.message };
  }
}

/** What few images have; packed as JSON. */
type Rare = Partial<
  Pick<InventoryFacts, 'backingFile' | 'backingFormat' | 'encrypted' | 'dirty' | 'corrupt' | 'findings' | 'malformed'>
>;

/** The numbers of the inode, which facts begin with, its own first. */
function packInode({ device, inode, lengthBytes, modifyTimeNs, birthTimeNs }: Inode): string {
  return `${String(inode)} ${String(device)} ${String(birthTimeNs)} ${String(lengthBytes)} ${String(modifyTimeNs)}`;
}

/** Format and size, and what else there is to say, if anything. */
function packContent({ facts, malformed }: Found): string {
  const { format, virtualSizeBytes, backingFile, backingFormat, encrypted, dirty, corrupt, findings } = facts;
  const rare: Rare = {
    ...(backingFile === undefined ? {} : { backingFile }),
    ...(backingFormat === undefined ? {} : { backingFormat }),
    ...(encrypted ? { encrypted } : {}),
    ...(dirty ? { dirty } : {}),
    ...(corrupt ? { corrupt } : {}),
    ...(findings.length === 0
      ? {}
      : { findings: findings.map(({ reason, message }) => ({ reason, message: message.slice(0, MAX_WORDS) })) }),
    ...(malformed === undefined ? {} : { malformed: malformed.slice(0, MAX_WORDS) }),
  };
  const more = JSON.stringify(rare);
  return `${format} ${String(virtualSizeBytes)}${more === '{}' ? '' : ` ${more}`}`;
}

const PACKED = /^(-?\d+) (-?\d+) (-?\d+) (-?\d+) (-?\d+) (\S+) (\d+)(?: (.*))?$/s;

/** The facts of a row. */
export function unpackFacts(text: string): InventoryFacts {
  const found = PACKED.exec(text);
  if (found === null) throw new TypeError(`facts of an image are ${text}`);
  const [, inode = '', device = '', birth = '', length = '', modified = '', format, size = '', more = '{}'] = found;
  const birthTimeNs = BigInt(birth);
  return {
    ...{ device: BigInt(device), inode: BigInt(inode) },
    ...(birthTimeNs === 0n ? {} : { birthTimeNs }),
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what was packed
    format: format as ImageFormat,
    ...{ virtualSizeBytes: BigInt(size), lengthBytes: BigInt(length), modifyTimeNs: BigInt(modified) },
    ...{ encrypted: false, dirty: false, corrupt: false, findings: [] },
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what was packed
    ...(JSON.parse(more) as Rare),
  };
}

/** Whether the file still is what the facts say, as far as its inode tells. */
export function areOfInode(facts: string, inode: Inode): boolean {
  return facts.startsWith(`${packInode(inode)} `);
}

/** The inode number in facts. */
export function inodeIn(facts: string): string {
  return facts.slice(0, facts.indexOf(' '));
}
