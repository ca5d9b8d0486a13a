/** What the inventory keeps of a file. Synchronous calls: for threads of their own. */
import { readSync, type BigIntStats } from 'node:fs';
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
import { identityOf } from '../linux/device-identity.js';
import { nextData } from '../linux/next-data.js';
import { sourceOf } from '../linux/sync-look.js';
import { birthOf } from '../linux/system-sizes.js';

/** A message that is longer is cut: rows are small. */
const MAX_WORDS = 300;

/** What stands in a hole; nobody writes into it. */
const ZEROS = Buffer.alloc(4096);
/** Of those that are free: a hundred thousand files would make so many, and as much garbage. */
const heads: Buffer[] = [];

/**
 * The facts of a regular file that is open. Fails with system errors, and with nothing that the
 * bytes could cause.
 */
export async function readFacts(fd: number, stat: BigIntStats): Promise<InventoryFacts> {
  const head = heads.pop() ?? Buffer.alloc(HEAD_BYTES);
  try {
    const bytes = cached(withHead(fd, Number(stat.size), head));
    const format = await detectFormat(bytes);
    const found = await factsAs(format, bytes, stat);
    const { virtualSizeBytes, backingFile, backingFormat, encrypted, dirty, corrupt, findings } = found.facts;
    return {
      ...identityOf(stat),
      ...birthOf(stat),
      format,
      virtualSizeBytes,
      lengthBytes: stat.size,
      modifyTimeNs: stat.mtimeNs,
      ...(backingFile === undefined ? {} : { backingFile }),
      ...(backingFormat === undefined ? {} : { backingFormat }),
      ...{ encrypted, dirty, corrupt },
      findings: findings.map(({ reason, message }) => ({ reason, message: message.slice(0, MAX_WORDS) })),
      ...(found.malformed === undefined ? {} : { malformed: found.malformed.slice(0, MAX_WORDS) }),
    };
  } finally {
    heads.push(head);
  }
}

/** The head is read into the buffer: nothing that is made of it may point into it. */
function withHead(fd: number, length: number, head: Buffer): ByteSource {
  const rest = sourceOf(fd, length);
  let data: number | undefined;
  return {
    lengthBytes: rest.lengthBytes,
    read(offset, wanted) {
      if (offset === 0n && wanted === HEAD_BYTES)
        return Promise.resolve(head.subarray(0, readSync(fd, head, 0, Math.min(length, HEAD_BYTES), 0)));
      // Most files that are asked for their last bytes have a hole there.
      if (offset < BigInt(HEAD_BYTES)) return rest.read(offset, wanted);
      data ??= nextData(fd, HEAD_BYTES);
      const left = Math.min(wanted, length - Number(offset));
      if (left <= 0 || Number(offset) + left > data) return rest.read(offset, wanted);
      return Promise.resolve(left <= ZEROS.length ? ZEROS.subarray(0, left) : Buffer.alloc(left));
    },
  };
}

interface Found {
  readonly facts: ImageFacts;
  readonly malformed?: string;
}

async function factsAs(format: ImageFormat, bytes: ReturnType<typeof cached>, { size }: BigIntStats): Promise<Found> {
  if (format === 'raw') return { facts: imageFacts('raw', roundUp(size, SECTOR_BYTES)) };
  try {
    const facts = await READERS[format](bytes);
    return { facts: { ...facts, findings: [...facts.findings, ...(await otherMarks(bytes, format))] } };
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'IMAGE_MALFORMED') throw error;
    return { facts: imageFacts(format, 0n), malformed: error.message };
  }
}

type Numbers = 'device' | 'inode' | 'virtualSizeBytes' | 'lengthBytes' | 'modifyTimeNs';
type Packed = Omit<InventoryFacts, Numbers | 'birthTimeNs'> &
  Readonly<Record<Numbers, string>> & { readonly birthTimeNs?: string };

/** As a row has them. */
export function packFacts(facts: InventoryFacts): string {
  const { birthTimeNs, ...rest } = facts;
  const packed: Packed = {
    ...rest,
    ...(birthTimeNs === undefined ? {} : { birthTimeNs: String(birthTimeNs) }),
    device: String(facts.device),
    inode: String(facts.inode),
    virtualSizeBytes: String(facts.virtualSizeBytes),
    lengthBytes: String(facts.lengthBytes),
    modifyTimeNs: String(facts.modifyTimeNs),
  };
  return JSON.stringify(packed);
}

/** What `packFacts` made. */
export function unpackFacts(text: string): InventoryFacts {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what packFacts was given
  const { birthTimeNs, ...packed } = JSON.parse(text) as Packed;
  return {
    ...packed,
    ...(birthTimeNs === undefined ? {} : { birthTimeNs: BigInt(birthTimeNs) }),
    device: BigInt(packed.device),
    inode: BigInt(packed.inode),
    virtualSizeBytes: BigInt(packed.virtualSizeBytes),
    lengthBytes: BigInt(packed.lengthBytes),
    modifyTimeNs: BigInt(packed.modifyTimeNs),
  };
}
