/**
 * The data locations of bochs and cloop. The source of every rule is their drivers in qemu's
 * block/. A dmg ends with its trailer, which is the proof.
 */
import { TWO_32, type MissingPlaces } from './missing-places.js';

const SECTOR = 512;
const UNUSED = 0xffffffff;

/** An extent is a bitmap of the allocated sectors, followed by room for all of them. */
export async function checkBochs(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, SECTOR);
  const catalog = { offset: head.readUInt32LE(68), bytes: head.readUInt32LE(72) * 4 };
  const mapBytes = wholeSectors(head.readUInt32LE(76));
  const extentBytes = wholeSectors(head.readUInt32LE(80));
  const start = catalog.offset + catalog.bytes;
  for await (const { data, count } of places.table('the catalog', catalog, 4))
    for (let n = 0; n < count; n++) {
      const extent = data.readUInt32LE(n * 4);
      if (extent === UNUSED) continue;
      const map = start + extent * (mapBytes + extentBytes);
      const there = await sectorsOf(places, map, mapBytes, extentBytes / SECTOR);
      if (there > 0) places.has('an extent', map + mapBytes, there * SECTOR);
    }
}

/** Up to the last allocated sector. */
async function sectorsOf(places: MissingPlaces, offset: number, bytes: number, most: number): Promise<number> {
  let last = 0;
  for await (const { data, first, count } of places.table('the map of an extent', { offset, bytes }, 1))
    for (let n = 0; n < count; n++) {
      const bits = data.readUInt8(n);
      if (bits !== 0) last = (first + n) * 8 + 32 - Math.clz32(bits);
    }
  return Math.min(last, most);
}

/** Each block ends where the next one begins. */
export async function checkCloop(places: MissingPlaces): Promise<void> {
  const head = await places.header(128n, 8);
  const table = { offset: 136, bytes: (head.readUInt32BE(4) + 1) * 8 };
  let start = 0;
  for await (const { data, count } of places.table('the table of blocks', table, 8))
    for (let n = 0; n < count; n++) {
      const end = data.readUInt32BE(n * 8) * TWO_32 + data.readUInt32BE(n * 8 + 4);
      if (start !== 0) places.has('a compressed block', start, end - start);
      start = end;
    }
}

function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR) * SECTOR;
}
