/** Writes behind a transfer: one at a time, in order, bounded, and no failure is lost. */
import assert from 'node:assert/strict';
import { WriteBehind } from '../../../src/domain/transfer/write-behind.js';
import { stateOf, turns } from '../../support/event-loop.js';
import { SlowFile } from './slow-file.js';

const DEPTH = 4;
const piece = Buffer.alloc(10, 1);
const full = new Error('the disk is full');

describe('WriteBehind', () => {
  let file: SlowFile;
  let written: bigint[];
  let behind: WriteBehind;
  beforeEach(() => {
    file = new SlowFile();
    written = [];
    behind = new WriteBehind(file, (end) => written.push(end));
  });
  const write = (n: number) => behind.write(piece, BigInt(10 * n));

  it('writes one at a time, in order, whatever is asked meanwhile', async () => {
    const asked = [0, 1, 2, 3, 4, 5].map(write);
    for (let n = 0; n < asked.length; n++) {
      await turns();
      assert.equal(file.asked.length, n + 1);
      assert.equal(file.at(n).position, BigInt(10 * n));
      file.at(n).resolve(undefined);
    }
    await Promise.all(asked);
    await behind.drain();
    assert.deepEqual(written, [10n, 20n, 30n, 40n, 50n, 60n]);
  });

  it('its caller waits when so many are pending, for the first of them only', async () => {
    for (let n = 0; n < DEPTH - 1; n++) await write(n);
    const last = write(DEPTH - 1);
    assert.equal(await stateOf(last), 'waits');
    file.at(0).resolve(undefined);
    assert.equal(await stateOf(last), 'done');
    const next = write(DEPTH);
    assert.equal(await stateOf(next), 'waits');
    file.at(1).resolve(undefined);
    await next;
  });

  it('says that something was written only when everything before it was', async () => {
    const asked = [0, 1].map(write);
    await turns();
    assert.deepEqual(written, []);
    file.at(0).resolve(undefined);
    await turns();
    assert.deepEqual(written, [10n]);
    assert.equal(await stateOf(behind.drain()), 'waits');
    file.at(1).resolve(undefined);
    await Promise.all([...asked, behind.drain()]);
  });

  for (const failing of [0, 1, 2])
    it(`after write ${String(failing)} has failed nothing is written, and who drains hears of it`, async () => {
      const asked = [0, 1, 2].map(write);
      for (let n = 0; n < failing; n++) {
        await turns();
        file.at(n).resolve(undefined);
      }
      await turns();
      file.at(failing).reject(full);
      await Promise.all(asked);
      await behind.untilIdle();
      assert.equal(file.asked.length, failing + 1);
      assert.equal(written.length, failing);
      await assert.rejects(behind.drain(), full);
    });

  it('who writes on after a failure hears of it before a window is full again', async () => {
    await write(0);
    await turns();
    file.at(0).reject(full);
    await write(1);
    await write(2);
    await assert.rejects(write(3), full);
  });

  it('nothing to write: it is drained, and idle', async () => {
    await behind.drain();
    await behind.untilIdle();
  });
});
