/** The first cluster of a new qcow2. The source of every rule is docs/interop/qcow2.txt of qemu. */
import { EXTENSION_BACKING_FORMAT, EXTENSION_END, EXTENSION_FEATURE_NAMES } from '../qcow2.js';

const MAGIC = 0x514649fb;
const [OLD_VERSION, VERSION] = [2, 3];
const [OLD_HEADER_BYTES, HEADER_BYTES] = [72, 112];
const [COMPRESSION_TYPE, EXTENDED_L2] = [1n << 3n, 1n << 4n];
const LAZY_REFCOUNTS = 1n << 0n;
const ZSTD = 1;
/** Type and length. */
const EXTENSION_HEAD_BYTES = 8;
/** Alignment of the lengths of extensions. */
const ALIGNMENT = 8;
/** In smaller clusters qemu leaves room for the name of a base. */
const LARGEST_WITHOUT_NAMES = 4096;

/** Type, bit and name. */
const [FEATURE_BYTES, FEATURE_NAME_AT] = [48, 2];
const [INCOMPATIBLE, COMPATIBLE, AUTOCLEAR] = [0, 1, 2];
const FEATURES: readonly (readonly [type: number, bit: number, name: string])[] = [
  [INCOMPATIBLE, 0, 'dirty bit'],
  [INCOMPATIBLE, 1, 'corrupt bit'],
  [INCOMPATIBLE, 2, 'external data file'],
  [INCOMPATIBLE, 3, 'compression type'],
  [INCOMPATIBLE, 4, 'extended L2 entries'],
  [COMPATIBLE, 0, 'lazy refcounts'],
  [AUTOCLEAR, 0, 'bitmaps'],
  [AUTOCLEAR, 1, 'raw external data'],
];

/** The fields of a header; offsets of tables are in bytes from the start of the file. */
export interface HeaderFields {
  readonly compat: '0.10' | '1.1';
  readonly clusterBytes: number;
  readonly sizeBytes: bigint;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  readonly extendedL2: boolean;
  readonly compressionType: 'zlib' | 'zstd';
  readonly l1: { readonly entries: number; readonly offsetBytes: number };
  readonly refcountTable: { readonly clusters: number; readonly offsetBytes: number };
  readonly backing?: { readonly name: string; readonly format: string };
}

/**
 * The header with its extensions and the name of the base. Undefined if they do not fit into a
 * cluster.
 */
export function qcow2Header(fields: HeaderFields): Buffer | undefined {
  const { compat, clusterBytes, sizeBytes, l1, refcountTable, backing } = fields;
  const name = Buffer.from(backing?.name ?? '');
  const header = Buffer.alloc(compat === '1.1' ? HEADER_BYTES : OLD_HEADER_BYTES);
  const extensions = extensionsOf(fields);
  const nameAt = header.length + extensions.length;
  if (nameAt + name.length > clusterBytes) return undefined;
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(compat === '1.1' ? VERSION : OLD_VERSION, 4);
  if (backing !== undefined) {
    header.writeBigUInt64BE(BigInt(nameAt), 8);
    header.writeUInt32BE(name.length, 16);
  }
  header.writeUInt32BE(Math.log2(clusterBytes), 20);
  header.writeBigUInt64BE(sizeBytes, 24);
  header.writeUInt32BE(l1.entries, 36);
  header.writeBigUInt64BE(BigInt(l1.offsetBytes), 40);
  header.writeBigUInt64BE(BigInt(refcountTable.offsetBytes), 48);
  header.writeUInt32BE(refcountTable.clusters, 56);
  if (compat === '1.1') writeNewerFields(header, fields);
  return Buffer.concat([header, extensions, name]);
}

/** Header fields that version 2 does not have. */
function writeNewerFields(header: Buffer, fields: HeaderFields): void {
  const { refcountBits, lazyRefcounts, extendedL2, compressionType } = fields;
  const zstd = compressionType === 'zstd';
  header.writeBigUInt64BE((zstd ? COMPRESSION_TYPE : 0n) | (extendedL2 ? EXTENDED_L2 : 0n), 72);
  header.writeBigUInt64BE(lazyRefcounts ? LAZY_REFCOUNTS : 0n, 80);
  header.writeUInt32BE(Math.log2(refcountBits), 96);
  header.writeUInt32BE(HEADER_BYTES, 100);
  header.writeUInt8(zstd ? ZSTD : 0, 104);
}

function extensionsOf({ compat, clusterBytes, backing }: HeaderFields): Buffer {
  const withNames = compat === '1.1' && clusterBytes > LARGEST_WITHOUT_NAMES;
  return Buffer.concat([
    ...(backing === undefined ? [] : [extension(EXTENSION_BACKING_FORMAT, Buffer.from(backing.format))]),
    ...(withNames ? [extension(EXTENSION_FEATURE_NAMES, Buffer.concat(FEATURES.map(featureName)))] : []),
    extension(EXTENSION_END, Buffer.alloc(0)),
  ]);
}

function extension(type: number, data: Buffer): Buffer {
  const bytes = Buffer.alloc(EXTENSION_HEAD_BYTES + Math.ceil(data.length / ALIGNMENT) * ALIGNMENT);
  bytes.writeUInt32BE(type, 0);
  bytes.writeUInt32BE(data.length, 4);
  data.copy(bytes, EXTENSION_HEAD_BYTES);
  return bytes;
}

function featureName([type, bit, name]: (typeof FEATURES)[number]): Buffer {
  const bytes = Buffer.alloc(FEATURE_BYTES);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt8(bit, 1);
  bytes.write(name, FEATURE_NAME_AT);
  return bytes;
}
