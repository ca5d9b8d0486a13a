/** The facts that the inventory stores for a file. Makes synchronous calls, for worker threads. */
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

/** Longer messages are truncated, to keep rows small. */
const MAX_WORDS = 300;

/** The content of a hole; never written to. */
const ZEROS = Buffer.alloc(4096);
/**
 * Free buffers for heads: allocating one for each of a hundred thousand files would produce as much
 * garbage.
 */
const heads: Buffer[] = [];

/**
 * The facts of an open regular file. Fails with system errors; no content of the file makes it
 * fail.
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

/** Reads the head into a shared buffer, so results must not point into it. */
function withHead(fd: number, length: number, head: Buffer): ByteSource {
  const rest = sourceOf(fd, length);
  let data: number | undefined;
  return {
    lengthBytes: rest.lengthBytes,
    read(offset, wanted) {
      if (offset === 0n && wanted === HEAD_BYTES)
        return Promise.resolve(head.subarray(0, readSync(fd, head, 0, Math.min(length, HEAD_BYTES), 0)));
      // In most files that are asked for their last bytes there is a hole.
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

/** The facts as text for a row. */
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

/** Reverses `packFacts`. */
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
