/**
 * The journal on disks that are full, fail, hang or are killed: what was acknowledged stays, and it
 * goes on by itself.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openJournal as openFile } from '../../../src/adapters/journal/opening.js';
import { readOperation, parseRow } from '../../../src/adapters/journal/records.js';
import { JournalUnavailable } from '../../../src/adapters/journal/store.js';
import { troubleOf } from '../../../src/adapters/journal/trouble.js';
import { WriteCountFile } from '../../../src/adapters/journal/write-count-file.js';
import { asAddress } from '../../../src/domain/model/address.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { ALL } from '../../../src/domain/operations/journal.js';
import { FaultFilesystem, type Fault } from '../../support/faults/fault-filesystem.js';
import { idsOf, openJournal, type TestJournal } from '../../support/journals/journals.js';
import { isRoot, needs } from '../../support/needs.js';
import { done, id, record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { until } from '../../support/until.js';

const WRITER = fileURLToPath(new URL('../../support/journals/journal-writer.js', import.meta.url));
const refused = (error: unknown) =>
  error instanceof HostlerError && error.reason === 'STATE_UNAVAILABLE' && error.retryAfterMs !== undefined;

/** Puts until the journal refuses; the number of the first that was refused. */
async function fill({ journal }: TestJournal, from = 0): Promise<number> {
  for (let n = from; ; n++) {
    try {
      await journal.put(done(n, { labels: { pad: 'x'.repeat(4000) } }));
    } catch (error) {
      assert.ok(refused(error), String(error));
      return n;
    }
  }
}

/** The states that an operator heard of; not why, which may change as long as one lasts. */
const states = ({ heard }: TestJournal) =>
  heard
    .filter(({ what }) => what === 'state')
    .map(({ writable }) => writable)
    .filter((writable, n, all) => writable !== all[n - 1]);

const mark = { device: 1n, inode: 2n, address: asAddress('/a'), operationId: id(0), method: 'ResizeImage' };

describe('the journal on a bad disk', () => {
  const scratch = scratchFolder();

  it('a full disk is a state: changes are refused, reads go on, and it mends itself', async function () {
    needs(this, isRoot, 'mounts a small filesystem');
    const folder = scratch.path('full');
    await sh('mkdir', folder);
    await sh('mount', '-t', 'tmpfs', '-o', 'size=3m', 'none', folder);
    scratch.onEnd(() => sh('umount', folder));
    await writeFile(join(folder, 'filler'), Buffer.alloc(1 << 20));
    const test = await openJournal(folder, { retryMs: 60_000 });
    const { journal } = test;
    const first = await fill(test);
    assert.ok(first > 10, String(first));
    await assert.rejects(journal.assertWritable(), refused);
    assert.equal(journal.writable, false);
    await assert.rejects(journal.put(record(900, { requestId: 'r' })), refused);
    // What should be there is there for those who ask, and what is refused for good is not.
    const key = { caller: 'someone', method: 'CopyImage', requestId: 'r' };
    assert.equal((await journal.findRequest(key))?.id, id(900));
    await assert.rejects(journal.put(record(901)), refused);
    journal.forget(id(901));
    assert.equal(await journal.get(id(901)), undefined);
    assert.equal((await journal.get(id(0)))?.state, 'SUCCEEDED');
    const all = [...Array.from({ length: first + 1 }, (_, n) => id(n)), id(900)];
    assert.deepEqual(await idsOf(journal), all);
    await unlink(join(folder, 'filler'));
    // Whoever asks is not refused for longer than the disk is full.
    await journal.assertWritable();
    assert.equal(journal.writable, true);
    await journal.put(done(902));
    await journal.close();
    assert.deepEqual(states(test), [false, true]);
    const again = await openJournal(folder);
    assert.deepEqual(await idsOf(again.journal), [...all, id(902)]);
    assert.deepEqual([again.heard, again.journal.incomplete], [[], false]);
    await again.journal.close();
  });

  const FAULTS: [string, Fault][] = [
    ['writes fail', { kinds: ['write'], errno: 'EIO', times: 0 }],
    ['syncs fail', { kinds: ['fsync'], errno: 'EIO', times: 0 }],
    ['the quota is used up', { kinds: ['write'], errno: 122, times: 0 }],
    ['there is no space', { kinds: ['write'], errno: 'ENOSPC', times: 0 }],
    ['it became read-only', { kinds: ['write', 'fsync', 'truncate'], errno: 'EROFS', times: 0 }],
    ['access is refused', { kinds: ['write', 'open', 'create'], errno: 'EACCES', times: 0 }],
  ];
  for (const [what, fault] of FAULTS) {
    it(`goes on by itself after ${what}, with all that it has acknowledged`, async function () {
      const disk = await FaultFilesystem.mount(this, scratch, scratch.path(what.replaceAll(' ', '-')));
      const test = await openJournal(disk.path);
      const { journal } = test;
      for (let n = 0; n < 5; n++) await journal.put(done(n));
      await journal.putMark(mark);
      await disk.fail(fault);
      await assert.rejects(journal.put(done(5)), refused);
      await assert.rejects(journal.removeMark(mark), refused);
      assert.deepEqual(await idsOf(journal), [0, 1, 2, 3, 4, 5].map(id));
      await disk.heal();
      await until(() => journal.writable);
      await journal.put(done(6));
      await journal.close();
      assert.deepEqual(states(test), [false, true]);
      const again = await openJournal(disk.path);
      assert.deepEqual(await idsOf(again.journal), [0, 1, 2, 3, 4, 5, 6].map(id));
      assert.deepEqual(await again.journal.marks(), []);
      assert.deepEqual([again.heard, again.journal.incomplete], [[], false]);
      await again.journal.close();
    });
  }

  it('loses nothing that it has acknowledged, whichever write or sync fails once', async function () {
    const disk = await FaultFilesystem.mount(this, scratch, scratch.path('nth'));
    for (let nth = 1; nth <= 16; nth += 1) {
      const folder = join(disk.path, String(nth));
      await sh('mkdir', folder);
      const { journal } = await openJournal(folder, { limits: { operations: 3, ms: 1e15 } });
      await disk.fail({ kinds: ['write', 'fsync', 'truncate'], nth, match: `/${String(nth)}/` });
      const durable: number[] = [];
      for (let n = 0; n < 6; n++) {
        try {
          await journal.put(record(n));
          durable.push(n);
        } catch (error) {
          assert.ok(refused(error), String(error));
          await until(() => journal.writable);
        }
      }
      await disk.heal();
      await journal.close();
      const again = await openJournal(folder);
      const kept = await idsOf(again.journal);
      assert.deepEqual(
        durable.map(id).filter((each) => !kept.includes(each)),
        [],
        `call ${String(nth)}`,
      );
      assert.equal(again.journal.incomplete, false, JSON.stringify(again.heard));
      await again.journal.close();
    }
  });

  it('a disk that hangs holds nobody else, and what it did not answer comes later', async function () {
    const disk = await FaultFilesystem.mount(this, scratch, scratch.path('hang'));
    const test = await openJournal(disk.path, { patienceMs: 300 });
    const { journal } = test;
    await journal.put(done(0));
    await disk.fail({ kinds: ['fsync'], hang: true, times: 0 });
    let ticks = 0;
    const ticking = setInterval(() => (ticks += 1), 10);
    await assert.rejects(journal.put(done(1)), refused);
    clearInterval(ticking);
    assert.ok(ticks > 3, `the thread of everybody else went on: ${String(ticks)}`);
    await assert.rejects(journal.put(done(2)), refused);
    assert.equal((await journal.get(id(2)))?.id, id(2));
    await assert.rejects(journal.get(id(0)), (error: HostlerError) => error.reason === 'STATE_UNAVAILABLE');
    await disk.heal();
    await until(() => journal.writable);
    assert.deepEqual(await idsOf(journal), [0, 1, 2].map(id));
    assert.deepEqual(states(test), [false, true]);
    await journal.close();
  });

  const AT_OPEN: [string, Fault, RegExp][] = [
    ['a full disk', { kinds: ['write'], errno: 'ENOSPC', times: 0 }, /full/],
    ['a failing disk', { kinds: ['write'], errno: 'EIO', times: 0 }, /i\/o error/i],
    ['no more descriptors', { kinds: ['open', 'create'], errno: 'EMFILE', times: 0 }, /EMFILE/],
    ['no access', { kinds: ['open', 'create'], errno: 'EACCES', times: 0 }, /EACCES/],
    ['a read-only disk', { kinds: ['open', 'create', 'write'], errno: 'EROFS', times: 0 }, /EROFS/],
    ['a disk that cannot be read', { kinds: ['read'], errno: 'EIO', times: 0 }, /(?:i|input)\/(?:o|output) error/i],
  ];
  for (const [what, fault, says] of AT_OPEN) {
    it(`${what} at the start is no damage: the file and the cause are named, and nothing is moved`, async function () {
      const disk = await FaultFilesystem.mount(this, scratch, scratch.path(`start-${what.replaceAll(' ', '-')}`));
      const { journal } = await openJournal(disk.path);
      await journal.put(done(1));
      await journal.close();
      const before = await readdir(disk.behind);
      await disk.fail({ ...fault, match: '/journal' });
      await assert.rejects(openJournal(disk.path), (error: Error) => {
        assert.ok(error instanceof JournalUnavailable, String(error));
        assert.match(error.message, says);
        assert.ok(error.message.includes(disk.path), error.message);
        return true;
      });
      await disk.heal();
      assert.deepEqual(
        (await readdir(disk.behind)).filter((name) => name.includes('broken')),
        [],
      );
      assert.ok(before.every((name) => existsSync(join(disk.behind, name))));
      const again = await openJournal(disk.path);
      assert.deepEqual(await idsOf(again.journal), [id(1)]);
      await again.journal.close();
    });
  }

  it('kill -9 in the middle of writes and of forgetting loses nothing that was acknowledged', async () => {
    for (let round = 0; round < 4; round++) {
      const folder = scratch.path(`killed-${String(round)}`);
      mkdirSync(folder);
      const last = await writeAndKill(folder, 30 + 17 * round);
      const { journal, heard } = await openJournal(folder);
      assert.deepEqual([heard, journal.incomplete], [[], false]);
      assert.equal((await journal.get(id(last)))?.state, 'SUCCEEDED', String(last));
      const kept = (await idsOf(journal)).map((each) => Number(each.slice(-8)));
      // Only the oldest were forgotten, and no more than may be.
      const [first = 0] = kept;
      assert.deepEqual(
        kept,
        kept.map((_, n) => first + n),
      );
      assert.ok(kept.length >= Math.min(40, last), `${String(kept.length)} of ${String(last)}`);
      await journal.close();
    }
  });
});

/**
 * Lets a process write, and kills it when it has said so often that something is durable; the last
 * that it said.
 */
async function writeAndKill(folder: string, after: number): Promise<number> {
  const writer = spawn(process.execPath, [WRITER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => writer.once('exit', resolve));
  let said = '';
  for await (const chunk of writer.stdout) {
    said += String(chunk);
    if (said.split('\n').length > after) writer.kill('SIGKILL');
  }
  await exited;
  return Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
}

describe('damage in the file of the journal', () => {
  const scratch = scratchFolder();
  const RECORDS = 50;
  const originals = new Map(
    Array.from({ length: RECORDS }, (_, n) => [
      id(n),
      n % 7 === 0 ? record(n) : done(n, { requestId: `r${String(n)}` }),
    ]),
  );
  let template = '';

  before(async () => {
    template = scratch.path('template');
    mkdirSync(template);
    const { journal } = await openJournal(template);
    for (const each of originals.values()) await journal.put(each);
    await journal.close();
  });

  /**
   * Opens a copy in which something was changed; what is there now, and whether it says that
   * something is missing.
   */
  const look = (change: (folder: string) => void) => {
    const folder = scratch.path('copy');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const name of ['journal.sqlite', 'journal.writes']) copyFileSync(join(template, name), join(folder, name));
    change(folder);
    const countFile = new WriteCountFile(join(folder, 'journal.writes'));
    const opened = openFile(join(folder, 'journal.sqlite'), countFile, Date.now);
    const { file, moved } = opened;
    const unfinished = file.unfinished();
    const { rows } = file.search({ groups: [], span: ALL, limit: 1000 });
    const found = new Map(rows.map((row) => [row.key, parseRow(row, readOperation)]));
    const said = moved !== undefined || file.found.length > 0;
    file.transaction(() => undefined);
    file.database.close();
    countFile.close();
    return { found, said, moved, unfinished };
  };

  it('a flipped bit anywhere is never a silent loss or change, and never the end of the list', () => {
    const { length } = readFileSync(join(template, 'journal.sqlite'));
    let [noticed, foreign] = [0, 0];
    const step = Math.max(1, Math.floor(length / 260));
    for (let at = 0; at < length; at += at < 200 ? 7 : step) {
      const bit = 1 << ((at * 5) % 8);
      try {
        const { found, said } = look((folder) => {
          const bytes = readFileSync(join(folder, 'journal.sqlite'));
          bytes[at] = (bytes[at] ?? 0) ^ bit;
          writeFileSync(join(folder, 'journal.sqlite'), bytes);
        });
        const wrong = [...originals].filter(([key, value]) => {
          try {
            assert.deepEqual(found.get(key), value);
            return false;
          } catch {
            return true;
          }
        });
        for (const [key] of wrong) assert.equal(found.get(key), undefined, `byte ${String(at)} changed ${key}`);
        assert.ok(
          wrong.length === 0 || said,
          `byte ${String(at)}: ${String(wrong.length)} are missing, and nothing says so`,
        );
        if (said) noticed += 1;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        assert.equal(troubleOf(error).kind, 'foreign', `byte ${String(at)}: ${String(error)}`);
        foreign += 1;
      }
    }
    assert.ok(noticed > 30, `${String(noticed)} noticed, ${String(foreign)} refused`);
  });

  for (const [what, change] of [
    ['cut in half', (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ['cut in the middle of a page', (bytes: Buffer) => bytes.subarray(0, 4096 * 3 + 100)],
    ['empty', () => Buffer.alloc(0)],
    [
      'zeroes in the middle',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 8192), Buffer.alloc(8192), bytes.subarray(16384)]),
    ],
    ['rubbish', (bytes: Buffer) => Buffer.alloc(bytes.length, 'rubbish')],
  ] as const) {
    it(`a file that is ${what} is moved aside, and what can be read of it goes on`, () => {
      const { found, moved } = look((folder) => {
        const path = join(folder, 'journal.sqlite');
        writeFileSync(path, change(readFileSync(path)));
      });
      assert.ok(moved !== undefined);
      for (const [key, value] of found) assert.deepEqual(value, originals.get(key));
      assert.equal(found.size, moved.salvaged.kept['operation'] ?? 0);
      assert.ok(existsSync(moved.movedTo));
    });
  }

  it('a file that has gone is noticed', () => {
    const { found, moved } = look((folder) => {
      rmSync(join(folder, 'journal.sqlite'));
    });
    assert.match(moved?.why ?? '', /it has gone/);
    assert.equal(found.size, 0);
  });

  it('an end that is lost is noticed, and the rest goes on', () => {
    const { found, moved } = look((folder) => {
      const countFile = new WriteCountFile(join(folder, 'journal.writes'));
      countFile.write(1000);
      countFile.close();
    });
    assert.match(moved?.why ?? '', /1000 changes were written, the journal ends at/);
    assert.equal(found.size, RECORDS);
  });

  for (const text of ['', 'rubbish', '7 00000000\n', '999999999999999999999 1\n']) {
    it(`a count file that says '${text.trim()}' is not believed`, () => {
      const { found, said } = look((folder) => {
        writeFileSync(join(folder, 'journal.writes'), text);
      });
      assert.deepEqual([found.size, said], [RECORDS, false]);
    });
  }

  it('a bit in the log of a daemon that was killed is a lost end, and is noticed', async () => {
    const folder = scratch.path('log');
    mkdirSync(folder);
    await writeAndKill(folder, 20);
    const log = join(folder, 'journal.sqlite-wal');
    const bytes = readFileSync(log);
    const last = 32 + Math.max(0, Math.floor((bytes.length - 32) / 4120) - 30) * 4120 + 2000;
    bytes[last] = (bytes[last] ?? 0) ^ 4;
    writeFileSync(log, bytes);
    const { journal, heard } = await openJournal(folder);
    assert.equal(journal.incomplete, true);
    assert.match(String(heard[0]?.['why']), /changes were written, the journal ends at/);
    await journal.close();
    assert.ok((await readdir(folder)).some((name) => /broken-.*-wal$/.test(name)));
  });
});
