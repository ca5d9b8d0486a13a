/**
 * A qcow2 with as many snapshots as are read, in a table of 1 MiB: the longest header, and an
 * answer as long.
 */
import { open } from 'node:fs/promises';
import { sh } from '../shell.js';

const SNAPSHOTS = 4096;
const TABLE_AT = 1 << 20;
const [EXTRA_BYTES, NAME_BYTES] = [16, 190];

/** Makes it at the path; returns how many snapshots it has. */
export async function manySnapshots(path: string): Promise<number> {
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');
  const table = Buffer.concat(Array.from({ length: SNAPSHOTS }, (_, n) => entry(n)));
  const header = Buffer.alloc(12);
  header.writeUInt32BE(SNAPSHOTS, 0);
  header.writeBigUInt64BE(BigInt(TABLE_AT), 4);
  const file = await open(path, 'r+');
  try {
    await file.write(header, 0, header.length, 60);
    await file.write(table, 0, table.length, TABLE_AT);
    await file.truncate(TABLE_AT + table.length + 65_536);
  } finally {
    await file.close();
  }
  return SNAPSHOTS;
}

function entry(n: number): Buffer {
  const name = 'n'.repeat(NAME_BYTES) + String(n);
  const id = String(n);
  const bytes = Buffer.alloc(Math.ceil((40 + EXTRA_BYTES + id.length + name.length) / 8) * 8);
  bytes.writeUInt16BE(id.length, 12);
  bytes.writeUInt16BE(name.length, 14);
  bytes.writeUInt32BE(EXTRA_BYTES, 36);
  bytes.write(id + name, 40 + EXTRA_BYTES);
  return bytes;
}
