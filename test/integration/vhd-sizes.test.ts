/**
 * The size of a VHD, whoever made it: what our reader says is what qemu-img finds when it is told
 * how to open it.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { layerMembers } from '../../src/adapters/qemu/qemu-nodes.js';
import type { ImageFacts } from '../../src/domain/model/image-info.js';
import { noise } from '../support/images/disks.js';
import { readHeaderOf } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { mendHeader } from '../support/images/structures.js';

/** What the specification's own algorithm gives for 20 MiB: 24 sectors fewer. */
const GEOMETRY = { cylinders: 602, heads: 4, sectors: 17 };
const BY_GEOMETRY = BigInt(602 * 4 * 17 * 512);
const BY_FIELD = 20n << 20n;

const NO_HANDLE = { fd: -1, close: () => Promise.resolve() };

interface Untold {
  readonly 'virtual-size': number;
}

interface Footer {
  readonly creator: string;
  readonly sizeBytes?: bigint;
  readonly geometry?: typeof GEOMETRY;
  readonly type?: number;
}

function stamp(footer: Buffer, { creator, sizeBytes = BY_FIELD, geometry = GEOMETRY, type }: Footer): void {
  footer.write(creator.padEnd(4, '\0'), 28, 'latin1');
  footer.writeBigUInt64BE(sizeBytes, 40);
  footer.writeBigUInt64BE(sizeBytes, 48);
  footer.writeUInt16BE(geometry.cylinders, 56);
  footer.writeUInt8(geometry.heads, 58);
  footer.writeUInt8(geometry.sectors, 59);
  if (type !== undefined) footer.writeUInt32BE(type, 60);
}

describe('sizes of VHDs', () => {
  const scratch = scratchFolder();
  let made = 0;
  before(() => writeFile(scratch.path('disk.raw'), noise(20 << 20)));

  /** A VHD of the disk as qemu-img writes it, with another creator's words. */
  const vhd = async (subformat: 'fixed' | 'dynamic', footer: Footer) => {
    const path = scratch.path(`${String(++made)}.vhd`);
    const options = `subformat=${subformat},force_size=on`;
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', options, scratch.path('disk.raw'), path);
    const content = await readFile(path);
    if (subformat === 'dynamic') stamp(content.subarray(0, 512), footer);
    stamp(content.subarray(-512), footer);
    mendHeader('vpc', content);
    await writeFile(path, content);
    return path;
  };
  /** The file as a tool is told to open it. */
  const told = (path: string, facts: ImageFacts) => {
    const members = new Map(layerMembers({ format: 'vpc', facts }, { read: { handle: NO_HANDLE } }));
    const option = (name: string) => {
      const [value] = members.get(name) ?? assert.fail(`it is not told ${name}`);
      assert.ok(typeof value === 'string');
      return `"${name}":${value}`;
    };
    // What is fixed is opened as bytes.
    const how = facts.subformat === 'fixed' ? 'size' : 'force_size_calc';
    return `json:{${option('driver')},${option(how)},"file":{"driver":"file","filename":"${path}"}}`;
  };
  /**
   * With a block table of so many entries, as programs make it that leave room for a larger disk.
   */
  const withTable = async (path: string, entries: number) => {
    const content = await readFile(path);
    const [footer, header] = [content.subarray(0, 512), content.subarray(512, 1536)];
    const [tableOffset, grown] = [Number(header.readBigUInt64BE(16)), Math.ceil((entries * 4) / 512) * 512];
    const oldBytes = Math.ceil((header.readUInt32BE(28) * 4) / 512) * 512;
    const table = Buffer.alloc(grown, 0xff);
    for (let at = 0; at < oldBytes; at += 4) {
      const sector = content.readUInt32BE(tableOffset + at);
      if (sector !== 0xffffffff) table.writeUInt32BE(sector + (grown - oldBytes) / 512, at);
    }
    header.writeUInt32BE(entries, 28);
    header.writeUInt32BE(0, 36);
    header.writeUInt32BE(~header.reduce((sum, byte) => sum + byte, 0) >>> 0, 36);
    await writeFile(path, Buffer.concat([footer, header, table, content.subarray(tableOffset + oldBytes)]));
    return path;
  };
  const agree = async (path: string, sizeBytes: bigint) => {
    const facts = (await readHeaderOf(path)) ?? assert.fail('no format was found');
    assert.equal(facts.virtualSizeBytes, sizeBytes);
    const untold = JSON.parse(await sh('qemu-img', 'info', '-f', 'vpc', '--output=json', path)) as Untold;
    assert.equal(
      facts.untoldSizeBytes ?? sizeBytes,
      BigInt(untold['virtual-size']),
      'the size that qemu sees by itself',
    );
    await sh('qemu-img', 'convert', '-O', 'raw', told(path, facts), scratch.path('out'));
    const [out, disk] = [await readFile(scratch.path('out')), await readFile(scratch.path('disk.raw'))];
    assert.equal(BigInt(out.length), sizeBytes);
    const common = Math.min(out.length, disk.length);
    assert.ok(out.subarray(0, common).equals(disk.subarray(0, common)), 'the bytes are those of the disk');
    assert.ok(!out.subarray(common).some((byte) => byte !== 0), 'and zeros beyond');
  };

  const creators = ['wa', 'vbox', '', 'win ', 'vs  ', 'tap', 'CTXS', 'd2v ', 'qem2', 'what'];
  for (const subformat of ['fixed', 'dynamic'] as const) {
    for (const creator of creators)
      it(`${subformat}, made by "${creator}": the size field`, async () => {
        await agree(await vhd(subformat, { creator }), BY_FIELD);
      });
    for (const creator of ['vpc ', 'qemu'])
      it(`${subformat}, made by "${creator}": the geometry`, async () => {
        await agree(await vhd(subformat, { creator }), BY_GEOMETRY);
      });
    it(`${subformat}, a geometry of nothing: the size field`, async () => {
      for (const creator of ['', 'qemu', 'vpc '])
        await agree(await vhd(subformat, { creator, geometry: { cylinders: 0, heads: 0, sectors: 0 } }), BY_FIELD);
    });
    it(`${subformat}, a geometry at its most: the size field`, async () => {
      const geometry = { cylinders: 65535, heads: 16, sectors: 255 };
      for (const creator of ['vbox', 'qemu']) await agree(await vhd(subformat, { creator, geometry }), BY_FIELD);
    });
    it(`${subformat}, a size that is no multiple of 512: whole sectors`, async () => {
      await agree(await vhd(subformat, { creator: 'wa', sizeBytes: BY_FIELD - 100n }), BY_FIELD - 512n);
    });
  }

  for (const [what, entries] of [
    ['2 TiB, as vhd-util -S makes it', 1 << 20],
    ['2040 GiB, the largest disk', 1_044_480],
    ['500 GiB', 256_000],
    ['as much as it has', 10],
  ] as const)
    it(`room in the block table for ${what}`, async () => {
      const path = await withTable(await vhd('dynamic', { creator: 'tap' }), entries);
      await agree(path, BY_FIELD);
      assert.deepEqual((await readHeaderOf(path))?.findings, []);
    });
  it('room for far more than the largest disk is none', async () => {
    const path = await withTable(await vhd('dynamic', { creator: 'tap' }), 8 << 20);
    assert.deepEqual(
      (await readHeaderOf(path))?.findings.map(({ reason }) => reason),
      ['TABLE_TOO_LARGE'],
    );
  });

  const refused = async (path: string) =>
    assert.rejects(readHeaderOf(path), { reason: 'IMAGE_MALFORMED' }, 'it is not read');
  it('a fixed disk with a footer at its start, and one whose footer is at no sector, are malformed', async () => {
    const fixed = await vhd('dynamic', { creator: 'win ', type: 2 });
    await refused(fixed);
    const content = await readFile(await vhd('fixed', { creator: 'win ' }));
    await writeFile(scratch.path('shifted.vhd'), content.subarray(100));
    await refused(scratch.path('shifted.vhd'));
  });
  it('a disk of more than 2040 GiB is malformed', async () => {
    await refused(await vhd('fixed', { creator: 'wa', sizeBytes: (2040n << 30n) + 512n }));
  });
});
