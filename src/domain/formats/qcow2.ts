/**
 * Reads qcow2 headers, versions 2 and 3. The source of every rule is docs/interop/qcow2.txt of
 * qemu.
 */
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { MAX_SIZE_BYTES, SECTOR_BYTES } from '../model/size.js';
import { malformed as malformedImage, readName, sectors, tableFindings, units } from './facts.js';
import { readSnapshots } from './qcow2-snapshots.js';

const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;
export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;

/** 32 MiB and 8 MiB: qemu refuses more. */
export const MAX_L1_ENTRIES = (32 << 20) / 8;
const MAX_REFCOUNT_TABLE_BYTES = 8n << 20n;
const MAX_REFCOUNT_ORDER = 6;

export const EXTENSION_END = 0;
export const EXTENSION_BACKING_FORMAT = 0xe2792aca;
const EXTENSION_DATA_FILE = 0x44415441;
export const EXTENSION_FEATURE_NAMES = 0x6803f857;
const EXTENSION_BITMAPS = 0x23852875;
const EXTENSION_KEYS = 0x0537be77;
/** Offset and length. */
const KEYS_BYTES = 16;
/** Of the encryption methods. */
const [AES, LUKS] = [1, 2];
/** Enough for the extensions that qemu writes. */
const EXTENSIONS_BYTES = 4096;
/** Programs write some hundred bytes of them; a cluster could hold two megabytes. */
const MAX_EXTENSIONS_BYTES = 64 << 10;
/** Type, bit and name. */
const FEATURE_NAME_BYTES = 48;

const DIRTY = 1n << 0n;
const CORRUPT = 1n << 1n;
const DATA_FILE = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const EXTENDED_L2 = 1n << 4n;
const KNOWN_INCOMPATIBLE = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;
const LAZY_REFCOUNTS = 1n << 0n;
/** Of the autoclear features: what lies in the data file is the guest's disk, byte for byte. */
const DATA_FILE_IS_RAW = 1n << 1n;

const COMPRESSION_OFFSET = 104;
const COMPRESSION_NAMES = ['zlib', 'zstd'];

const malformed = (what: string) => malformedImage('qcow2', what);

/** Facts from the header. Fails with IMAGE_MALFORMED. */
export async function readQcow2(bytes: ByteSource): Promise<ImageFacts> {
  const head = await bytes.read(0n, V3_HEADER_BYTES + 8);
  if (head.length < V2_HEADER_BYTES) throw malformed('the file is shorter than the header');
  const version = head.readUInt32BE(4);
  if (version === 3 && head.length < V3_HEADER_BYTES) throw malformed('the file is shorter than the header');
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS)
    throw malformed(`cluster bits are ${String(clusterBits)}`);
  if (head.readBigUInt64BE(24) > MAX_SIZE_BYTES) throw malformed('the virtual size is beyond what qemu can address');
  const clusterBytes = 1 << clusterBits;
  const headerBytes = version === 3 ? head.readUInt32BE(100) : V2_HEADER_BYTES;
  if (version === 3 && (headerBytes < V3_HEADER_BYTES || headerBytes > clusterBytes))
    throw malformed(`header length is ${String(headerBytes)}`);
  assertTables(head, clusterBits, version);
  const incompatible = version === 3 ? head.readBigUInt64BE(72) : 0n;
  if (head.readBigUInt64BE(8) > BigInt(clusterBytes)) throw malformed('the backing file name lies outside the header');
  const extensions = await readExtensions(bytes, head, clusterBytes);
  assertKeys(head, extensions.keys, clusterBytes);
  const backingFile = await readName(
    bytes,
    { offset: head.readBigUInt64BE(8), length: head.readUInt32BE(16), limit: BigInt(clusterBytes) },
    'qcow2',
  );
  const compression = compressionOf(head, headerBytes, incompatible);
  if (version === 3 && (incompatible & DATA_FILE) === 0n && (head.readBigUInt64BE(88) & DATA_FILE_IS_RAW) !== 0n)
    throw malformed('it says that its data file is raw, and has none');
  const dataFile = (incompatible & DATA_FILE) === 0n ? undefined : (extensions.dataFile ?? '');
  return {
    format: 'qcow2',
    // qemu counts whole sectors.
    virtualSizeBytes: sectors(head.readBigUInt64BE(24) / SECTOR_BYTES),
    clusterSizeBytes: BigInt(clusterBytes),
    ...(backingFile === undefined ? {} : { backingFile }),
    ...(backingFile === undefined || extensions.backingFormat === undefined
      ? {}
      : { backingFormat: extensions.backingFormat }),
    encrypted: head.readUInt32BE(32) !== 0,
    ...(head.readUInt32BE(32) === AES ? { oldEncryption: 'aes' } : {}),
    dirty: (incompatible & DIRTY) !== 0n,
    corrupt: (incompatible & CORRUPT) !== 0n,
    ...(dataFile === undefined ? {} : { dataFile }),
    snapshots: await readSnapshots(bytes, { count: head.readUInt32BE(60), offset: head.readBigUInt64BE(64) }),
    compat: version === 3 ? '1.1' : '0.10',
    refcountBits: 1 << (version === 3 ? head.readUInt32BE(96) : 4),
    compressionType: COMPRESSION_NAMES[compression] ?? unknownCompression(compression),
    ...(version === 3
      ? {
          lazyRefcounts: (head.readBigUInt64BE(80) & LAZY_REFCOUNTS) !== 0n,
          extendedL2: (incompatible & EXTENDED_L2) !== 0n,
        }
      : {}),
    findings: [
      ...findings(incompatible, extensions.featureNames, backingFile, extensions.backingFormat),
      ...compressionFindings(compression),
      ...tables(bytes, head, clusterBits, version),
      ...tablesOverlapping(head, clusterBits),
    ],
  };
}

/**
 * As qemu: tables begin at clusters, are no larger than it reads, and the L1 table covers the disk.
 */
function assertTables(head: Buffer, clusterBits: number, version: number): void {
  const clusterMask = (1n << BigInt(clusterBits)) - 1n;
  const [l1Entries, l1Offset, refcountOffset] = [
    head.readUInt32BE(36),
    head.readBigUInt64BE(40),
    head.readBigUInt64BE(48),
  ];
  if (((l1Offset | refcountOffset) & clusterMask) !== 0n) throw malformed('a table does not begin at a cluster');
  if (l1Entries > MAX_L1_ENTRIES) throw malformed(`the L1 table has ${String(l1Entries)} entries`);
  if (BigInt(head.readUInt32BE(56)) << BigInt(clusterBits) > MAX_REFCOUNT_TABLE_BYTES)
    throw malformed('the refcount table is too large');
  if (refcountOffset === 0n) throw malformed('the refcount table is missing');
  if (BigInt(l1Entries) < l1EntriesOf(head, clusterBits, version))
    throw malformed('the L1 table is too small for the disk');
  if (version === 3 && head.readUInt32BE(96) > MAX_REFCOUNT_ORDER) throw malformed('refcounts are wider than 64 bits');
}

/**
 * As qemu: LUKS has its header, with the keys, in an area that an extension names, and nothing else
 * has.
 */
function assertKeys(head: Buffer, keys: Buffer | undefined, clusterBytes: number): void {
  const method = head.readUInt32BE(32);
  if (method > LUKS) throw malformed(`the encryption method is ${String(method)}`);
  if ((method === LUKS) !== (keys !== undefined))
    throw malformed(keys === undefined ? 'the header of its keys is missing' : 'it has a header of keys without LUKS');
  if (keys === undefined) return;
  if (keys.length !== KEYS_BYTES || keys.readBigUInt64BE(0) % BigInt(clusterBytes) !== 0n)
    throw malformed('the header of its keys does not begin at a cluster');
}

/** As qemu: any other type than zlib has the bit that says so, and zlib has not. */
function compressionOf(head: Buffer, headerBytes: number, incompatible: bigint): number {
  const type = headerBytes > COMPRESSION_OFFSET ? (head[COMPRESSION_OFFSET] ?? 0) : 0;
  const isSaid = (incompatible & COMPRESSION_TYPE) !== 0n;
  if (isSaid !== (type !== 0))
    throw malformed(
      `the compression type is ${String(type)}, and the bit for another than zlib is ${isSaid ? '' : 'not '}set`,
    );
  return type;
}

const unknownCompression = (type: number) => `unknown (${String(type)})`;

function compressionFindings(type: number): Finding[] {
  if (COMPRESSION_NAMES[type] !== undefined) return [];
  return [{ reason: 'UNKNOWN_FEATURE', message: `the compression type is ${unknownCompression(type)}` }];
}

/** Both tables that everything else is found by. */
function tables(bytes: ByteSource, head: Buffer, clusterBits: number, version: number): Finding[] {
  const cluster = 1n << BigInt(clusterBits);
  const refcountBits = 1n << BigInt(version === 3 ? head.readUInt32BE(96) : 4);
  const bytesPerRefcountBlock = (cluster * 8n * cluster) / refcountBits;
  const disk = head.readBigUInt64BE(24);
  return [
    ...tableFindings(bytes, {
      what: 'L1 table',
      offset: head.readBigUInt64BE(40),
      lengthBytes: BigInt(head.readUInt32BE(36)) * 8n,
      neededBytes: l1EntriesOf(head, clusterBits, version) * 8n,
    }),
    ...tableFindings(bytes, {
      what: 'refcount table',
      offset: head.readBigUInt64BE(48),
      lengthBytes: BigInt(head.readUInt32BE(56)) * cluster,
      neededBytes: cluster + units(disk > bytes.lengthBytes ? disk : bytes.lengthBytes, bytesPerRefcountBlock) * 8n,
    }),
  ];
}

function l1EntriesOf(head: Buffer, clusterBits: number, version: number): bigint {
  const extended = version === 3 && (head.readBigUInt64BE(72) & EXTENDED_L2) !== 0n;
  return units(head.readBigUInt64BE(24), 1n << BigInt(2 * clusterBits - (extended ? 4 : 3)));
}

/**
 * The cluster of the header and the tables that it names; where two of them overlap, a write to one
 * destroys the other.
 */
function tablesOverlapping(head: Buffer, clusterBits: number): Finding[] {
  const cluster = 1n << BigInt(clusterBits);
  const areas = [
    { start: 0n, length: cluster },
    { start: head.readBigUInt64BE(40), length: BigInt(head.readUInt32BE(36)) * 8n },
    { start: head.readBigUInt64BE(48), length: BigInt(head.readUInt32BE(56)) * cluster },
    { start: head.readBigUInt64BE(64), length: head.readUInt32BE(60) === 0 ? 0n : 1n },
  ]
    .filter(({ length }) => length > 0n)
    .sort((a, b) => Number(a.start - b.start));
  const overlap = areas.some(({ start }, index) => {
    const before = areas[index - 1];
    return before !== undefined && before.start + before.length > start;
  });
  return overlap ? [{ reason: 'METADATA_OVERLAPS', message: 'tables overlap each other or the header' }] : [];
}

function findings(
  incompatible: bigint,
  names: readonly Buffer[],
  backingFile: string | undefined,
  backingFormat: string | undefined,
): Finding[] {
  const found: Finding[] = [];
  const unknown = incompatible & ~KNOWN_INCOMPATIBLE;
  if (unknown !== 0n) {
    const named = namesOf(names, unknown).map((name) => ` (${name})`);
    found.push({
      reason: 'UNKNOWN_FEATURE',
      message: `incompatible feature bits 0x${unknown.toString(16)}${named.join('')} are unknown`,
    });
  }
  if ((incompatible & DATA_FILE) !== 0n)
    found.push({ reason: 'EXTERNAL_DATA_FILE', message: 'the data lies in another file' });
  if (backingFile !== undefined && backingFormat === undefined) {
    found.push({ reason: 'BACKING_FORMAT_MISSING', message: 'the header names a backing file but not its format' });
  }
  return found;
}

interface Extensions {
  /** Tables of the names of feature bits. */
  readonly featureNames: Buffer[];
  backingFormat?: string;
  dataFile?: string;
  /** How many bitmaps there are, and where their directory is. */
  bitmaps?: Buffer;
  /** Where the header of LUKS is, with the keys, and how long. */
  keys?: Buffer;
}

/**
 * Where the name of a base begins they end, as qemu reads them: old programs wrote it right behind
 * the header. Reads on when they go beyond the head of the first cluster, which few images fill.
 */
export async function readExtensions(bytes: ByteSource, head: Buffer, clusterBytes: number): Promise<Extensions> {
  const start = head.readUInt32BE(4) === 3 ? head.readUInt32BE(100) : V2_HEADER_BYTES;
  const nameOffset = Number(head.readBigUInt64BE(8));
  const limit = nameOffset === 0 ? clusterBytes : nameOffset;
  const area = await bytes.read(0n, Math.min(limit, EXTENSIONS_BYTES));
  return parseExtensions(area, start, limit) ?? readAllExtensions(bytes, start, limit);
}

async function readAllExtensions(bytes: ByteSource, start: number, limit: number): Promise<Extensions> {
  const area = await bytes.read(0n, Math.min(limit, MAX_EXTENSIONS_BYTES));
  const found = parseExtensions(area, start, limit);
  if (found === undefined)
    throw malformed(
      `the header extensions reach beyond the first cluster, the name of its base, or ${String(MAX_EXTENSIONS_BYTES)} bytes`,
    );
  return found;
}

/** Undefined when they go on beyond the area, or beyond the limit. */
function parseExtensions(area: Buffer, start: number, limit: number): Extensions | undefined {
  const found: Extensions = { featureNames: [] };
  let offset = start;
  while (offset + 8 <= area.length) {
    const type = area.readUInt32BE(offset);
    const length = area.readUInt32BE(offset + 4);
    if (type === EXTENSION_END) return found;
    const end = offset + 8 + length;
    if (end > area.length) return undefined;
    const [from, to] = [offset + 8, end];
    const text = () => area.toString('utf8', from, to);
    if (type === EXTENSION_BACKING_FORMAT) found.backingFormat = text();
    if (type === EXTENSION_DATA_FILE) found.dataFile = text();
    if (type === EXTENSION_BITMAPS) found.bitmaps = area.subarray(offset + 8, end);
    if (type === EXTENSION_KEYS) found.keys = area.subarray(offset + 8, end);
    if (type === EXTENSION_FEATURE_NAMES) found.featureNames.push(area.subarray(offset + 8, end));
    offset += 8 + Math.ceil(length / 8) * 8;
  }
  return offset < limit ? undefined : found;
}

/** Names of incompatible feature bits. */
function namesOf(tables: readonly Buffer[], bits: bigint): string[] {
  const names: string[] = [];
  for (const table of tables)
    for (let offset = 0; offset + FEATURE_NAME_BYTES <= table.length; offset += FEATURE_NAME_BYTES) {
      if (table.readUInt8(offset) !== 0 || ((bits >> BigInt(table.readUInt8(offset + 1))) & 1n) === 0n) continue;
      names.push(table.toString('utf8', offset + 2, offset + FEATURE_NAME_BYTES).replaceAll(/[^\x20-\x7e]/g, ''));
    }
  return names;
}
