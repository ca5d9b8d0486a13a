/**
 * Reads the snapshot table of a qcow2. The source of every rule is docs/interop/qcow2.txt of qemu.
 */
import type { SnapshotFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { SECTOR_BYTES } from '../model/size.js';
import { malformed as malformedImage, sectors } from './facts.js';
import { breathe } from '../model/async.js';

/** qemu takes 65,536; so many that a list of them is still an answer. */
export const MAX_SNAPSHOTS = 4096;
/** qemu allows 64 MiB; a table that a person would make is far below this. */
const MAX_TABLE_BYTES = 1 << 20;
/** Holds the table of nearly every image. */
const FIRST_BYTES = 16 << 10;
/** Fixed part of an entry. */
const ENTRY_BYTES = 40;
/** qemu refuses more extra data in an entry. */
const MAX_EXTRA_BYTES = 1024;
/** So many entries are read at a time, in less than a millisecond; then others have their turn. */
const ENTRIES_AT_ONCE = 256;

const malformed = (what: string) => malformedImage('qcow2', what);

/** Where the header says the table is. */
interface SnapshotTable {
  readonly count: number;
  readonly offset: bigint;
}

/** A snapshot with its L1 table. */
export interface SnapshotEntry {
  readonly facts: SnapshotFacts;
  readonly tableOffset: bigint;
  readonly tableEntries: number;
}

/** Fails with IMAGE_MALFORMED. */
export async function readSnapshots(bytes: ByteSource, table: SnapshotTable): Promise<SnapshotFacts[]> {
  const found = await readSnapshotTables(bytes, table);
  return found.map(({ facts }) => facts);
}

/** Fails with IMAGE_MALFORMED. */
export async function readSnapshotTables(
  bytes: ByteSource,
  { count, offset }: SnapshotTable,
): Promise<SnapshotEntry[]> {
  if (count === 0) return [];
  if (count > MAX_SNAPSHOTS) throw malformed(`${String(count)} snapshots; at most ${String(MAX_SNAPSHOTS)} are read`);
  for (const length of [FIRST_BYTES, MAX_TABLE_BYTES]) {
    const table = await bytes.read(offset, length);
    const snapshots = await parse(table, count);
    if (snapshots !== undefined) return snapshots;
    if (table.length < length) throw malformed('the snapshot table lies outside the file');
  }
  throw malformed('the snapshot table is too large');
}

/** Undefined when the table is longer than these bytes. */
async function parse(table: Buffer, count: number): Promise<SnapshotEntry[] | undefined> {
  const snapshots: SnapshotEntry[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (index > 0 && index % ENTRIES_AT_ONCE === 0) await breathe();
    if (at + ENTRY_BYTES > table.length) return undefined;
    const [idBytes, nameBytes] = [table.readUInt16BE(at + 12), table.readUInt16BE(at + 14)];
    const extraBytes = table.readUInt32BE(at + 36);
    if (extraBytes > MAX_EXTRA_BYTES) throw malformed('a snapshot has too much extra data');
    const extra = at + ENTRY_BYTES;
    const id = extra + extraBytes;
    const end = id + idBytes + nameBytes;
    if (end > table.length) return undefined;
    const facts = {
      id: table.toString('utf8', id, id + idBytes),
      name: table.toString('utf8', id + idBytes, end),
      createTimeMs: table.readUInt32BE(at + 16) * 1000 + Math.floor(table.readUInt32BE(at + 20) / 1e6),
      vmStateBytes: extraBytes >= 8 ? table.readBigUInt64BE(extra) : BigInt(table.readUInt32BE(at + 32)),
      ...(extraBytes >= 16 ? { virtualSizeBytes: sectors(table.readBigUInt64BE(extra + 8) / SECTOR_BYTES) } : {}),
    };
    snapshots.push({ facts, tableOffset: table.readBigUInt64BE(at), tableEntries: table.readUInt32BE(at + 8) });
    at = Math.ceil(end / 8) * 8;
  }
  return snapshots;
}
