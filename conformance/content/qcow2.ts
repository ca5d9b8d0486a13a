/** Headers of qcow2 images, also of those that no tool makes: docs/interop/qcow2.rst of qemu. */
import { KIB, MIB } from './noise.js';

const CLUSTER = 64 * KIB;
const HEADER_BYTES = 104;

export interface Qcow2 {
  readonly backingFile?: string;
  /** The extension with the format of the backing file; unset: none. */
  readonly backingFormat?: string;
  readonly sizeBytes?: bigint;
  readonly incompatible?: bigint;
  readonly snapshots?: { readonly count: number; readonly offset: bigint };
  readonly l1Entries?: number;
  readonly l1Offset?: bigint;
  readonly version?: number;
  readonly clusterBits?: number;
}

/** An empty image: header, reference counts and an empty table, four clusters. */
export function qcow2(choices: Qcow2 = {}): Buffer {
  const { backingFile = '', sizeBytes = BigInt(MIB), incompatible = 0n, snapshots, backingFormat } = choices;
  const image = Buffer.alloc(4 * CLUSTER);
  const name = Buffer.from(backingFile);
  const extension = backingFormat === undefined ? Buffer.alloc(0) : extensionOf(0xe2792aca, Buffer.from(backingFormat));
  const nameAt = HEADER_BYTES + extension.length + 8;
  image.write('QFI\xfb', 0, 'latin1');
  image.writeUInt32BE(choices.version ?? 3, 4);
  image.writeBigUInt64BE(name.length === 0 ? 0n : BigInt(nameAt), 8);
  image.writeUInt32BE(name.length, 16);
  image.writeUInt32BE(choices.clusterBits ?? 16, 20);
  image.writeBigUInt64BE(sizeBytes, 24);
  image.writeUInt32BE(choices.l1Entries ?? 1, 36);
  image.writeBigUInt64BE(choices.l1Offset ?? BigInt(3 * CLUSTER), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER), 48); // reference count table
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(snapshots?.count ?? 0, 60);
  image.writeBigUInt64BE(snapshots?.offset ?? 0n, 64);
  image.writeBigUInt64BE(incompatible, 72);
  image.writeUInt32BE(4, 96); // 16 bits a count
  image.writeUInt32BE(HEADER_BYTES, 100);
  extension.copy(image, HEADER_BYTES);
  name.copy(image, nameAt);
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < 4; cluster++) image.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  return image;
}

function extensionOf(type: number, data: Buffer): Buffer {
  const padded = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
  padded.writeUInt32BE(type, 0);
  padded.writeUInt32BE(data.length, 4);
  data.copy(padded, 8);
  return padded;
}
