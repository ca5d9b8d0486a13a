/**
 * A VHDX whose log is in use: pending is what qemu would apply before it opens the image, and
 * nothing else.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { crc32c } from '../../src/domain/formats/crc32c.js';
import { readHeaderOf } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { mendHeader } from '../support/images/structures.js';

const SECTOR = 4096;
const [LOG_OFFSET, LOG_BYTES] = [1 << 20, 1 << 20];
const guid = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

interface Entry {
  /** Sector of the log. */
  readonly at: number;
  readonly sectors?: number;
  readonly guid?: Buffer;
  readonly sequence?: bigint;
  /** A byte of it did not reach the disk. */
  readonly torn?: boolean;
}

/** An entry that changes nothing: it has no descriptors. */
function entryOf({ at, sectors = 1, guid: id = guid, sequence = 1n, torn = false }: Entry): Buffer {
  const entry = Buffer.alloc(sectors * SECTOR);
  entry.write('loge');
  entry.writeUInt32LE(entry.length, 8);
  entry.writeUInt32LE(at * SECTOR, 12);
  entry.writeBigUInt64LE(sequence, 16);
  id.copy(entry, 32);
  entry.writeUInt32LE(crc32c(entry), 4);
  if (torn) entry.writeUInt8(1, entry.length - 1);
  return entry;
}

describe('the log of a VHDX', () => {
  const scratch = scratchFolder();
  let made = 0;
  const imageWith = async (entries: readonly Entry[]) => {
    const path = scratch.path(`${String(++made)}.vhdx`);
    await sh('qemu-img', 'create', '-q', '-f', 'vhdx', path, '8M');
    const content = await readFile(path);
    for (const header of [64 << 10, 128 << 10]) guid.copy(content, header + 48);
    mendHeader('vhdx', content);
    const log = content.subarray(LOG_OFFSET, LOG_OFFSET + LOG_BYTES);
    for (const each of entries) {
      const [entry, from] = [entryOf(each), each.at * SECTOR];
      entry.copy(log, from);
      // The log is a ring.
      if (from + entry.length > log.length) entry.copy(log, 0, log.length - from);
    }
    await writeFile(path, content);
    return path;
  };
  const last = LOG_BYTES / SECTOR - 1;

  const cases: [string, Entry[], boolean][] = [
    ['is empty', [], false],
    ['has an entry', [{ at: 0 }], true],
    ['has an entry in its middle, of several sectors', [{ at: 77, sectors: 3 }], true],
    ['has an entry that goes on at its start', [{ at: last, sectors: 2 }], true],
    ['has entries of another use of it', [{ at: 0, guid: Buffer.alloc(16, 7) }], false],
    ['has an entry that was not written to its end', [{ at: 5, sectors: 2, torn: true }], false],
    [
      'has such a one, and a whole one',
      [
        { at: 5, torn: true },
        { at: 9, sequence: 8n },
      ],
      true,
    ],
    ['has an entry without a number', [{ at: 5, sequence: 0n }], false],
  ];
  for (const [title, entries, pending] of cases)
    it(`${title}: ${pending ? 'pending' : 'not pending'}`, async () => {
      const path = await imageWith(entries);
      const { code, stderr } = await tryRun('qemu-img', ['map', '--output=json', '-f', 'vhdx', path]);
      assert.equal(code !== 0, pending, `qemu-img: ${stderr}`);
      const facts = (await readHeaderOf(path)) ?? assert.fail('no format was found');
      assert.equal(facts.dirty, pending);
      assert.deepEqual(
        facts.findings.map(({ reason }) => reason),
        pending ? ['LOG_PENDING'] : [],
      );
    });
});
