/**
 * The location of a qcow2's bitmaps of written clusters. The source of every rule is
 * docs/interop/qcow2.txt of qemu.
 */
import { TWO_32, type TablePlace, type MissingPlaces } from './missing-places.js';

const SECTOR = 512;
const AUTOCLEAR_OFFSET = 88;
/** Without this bit the last writer did not support bitmaps, and they are invalid. */
const BITMAPS_ARE_TRUE = 1;
const ENTRY_BYTES = 24;
/** qemu accepts no larger ones. */
const [MAX_DIRECTORY_BYTES, MAX_TABLE_ENTRIES] = [64 << 20, 0x8000000];
/** Bits of the offset in the upper half of a table's entry. */
const OFFSET_HIGH = 0x00ffffff;

/** @param extension the bitmaps extension of the header, if there is one */
export async function checkBitmaps(
  places: MissingPlaces,
  head: Buffer,
  extension: Buffer | undefined,
  clusterBytes: number,
): Promise<void> {
  if (extension === undefined || extension.length < ENTRY_BYTES) return;
  if ((head.readUInt32BE(AUTOCLEAR_OFFSET + 4) & BITMAPS_ARE_TRUE) === 0) return;
  const directory = { offset: number(extension, 16), bytes: number(extension, 8) };
  if (directory.bytes > MAX_DIRECTORY_BYTES) return;
  if (!places.has('the directory of bitmaps', directory.offset, directory.bytes)) return;
  for (const table of await tablesIn(places, directory))
    for await (const { data, count } of places.table('the table of a bitmap', table, 8))
      for (let n = 0; n < count; n++) {
        const offset = (data.readUInt32BE(n * 8) & OFFSET_HIGH) * TWO_32 + data.readUInt32BE(n * 8 + 4);
        const cluster = offset - (offset % SECTOR);
        if (cluster !== 0) places.has('a cluster of a bitmap', cluster, clusterBytes);
      }
}

/** Each entry has the offset of a table, and a name of any length. */
async function tablesIn(
  { bytes, spend }: MissingPlaces,
  { offset, bytes: length }: TablePlace,
): Promise<readonly TablePlace[]> {
  spend(length);
  const directory = await bytes.read(BigInt(offset), length);
  const tables: TablePlace[] = [];
  for (let at = 0; at + ENTRY_BYTES <= directory.length;) {
    const entries = directory.readUInt32BE(at + 8);
    if (entries <= MAX_TABLE_ENTRIES) tables.push({ offset: number(directory, at), bytes: entries * 8 });
    const names = directory.readUInt16BE(at + 18) + directory.readUInt32BE(at + 20);
    at += Math.ceil((ENTRY_BYTES + names) / 8) * 8;
  }
  return tables;
}

function number(data: Buffer, at: number): number {
  return data.readUInt32BE(at) * TWO_32 + data.readUInt32BE(at + 4);
}
