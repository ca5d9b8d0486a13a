import assert from 'node:assert/strict';
import { setImmediate as breathe } from 'node:timers/promises';
import { FairRoom, ONE_THREAD, type Held } from '../../../src/domain/budgets/fair-room.js';
import { HostlerError } from '../../../src/domain/model/errors.js';

describe('room that callers share', () => {
  const { signal } = new AbortController();
  const begun: string[] = [];
  const held: Held[] = [];
  let room: FairRoom;
  beforeEach(() => {
    room = new FairRoom({ inAll: 10, perCaller: 6, oneBeyond: true });
    begun.length = 0;
    held.length = 0;
  });
  const take = (caller: string, amount: number) => {
    void room.take(caller, amount, signal).then((part) => {
      begun.push(`${caller}${String(amount)}`);
      held.push(part);
    });
  };

  it('leaves room beside a caller that takes all it may', async () => {
    for (let n = 0; n < 300; n++) take('greedy', 2);
    take('modest', 4);
    await breathe();
    assert.deepEqual(begun, ['greedy2', 'greedy2', 'greedy2', 'modest4']);
  });

  it('gives a caller that holds nothing what it asks for, also beyond everything', async () => {
    for (const caller of ['a', 'b', 'c']) take(caller, 20);
    take('a', 1);
    await breathe();
    assert.deepEqual(begun, ['a20', 'b20', 'c20']);
  });

  it('keeps the order of one caller, whatever would fit', async () => {
    for (const amount of [5, 4, 1]) take('a', amount);
    await breathe();
    assert.deepEqual(begun, ['a5']);
    held[0]?.shrink(2);
    await breathe();
    assert.deepEqual(begun, ['a5', 'a4']);
    held[1]?.give();
    await breathe();
    assert.deepEqual(begun, ['a5', 'a4', 'a1']);
  });

  it('goes round the callers that hold something', async () => {
    room = new FairRoom({ inAll: 3, perCaller: 3, oneBeyond: true });
    for (const caller of ['a', 'a', 'a', 'a', 'a', 'b', 'c', 'b', 'b']) take(caller, 1);
    await breathe();
    for (let n = 0; n < 4; n++) {
      held[n]?.give();
      await breathe();
    }
    assert.deepEqual(begun, ['a1', 'a1', 'a1', 'b1', 'c1', 'a1', 'b1']);
  });

  it('is one thread: one at a time, of each caller in its turn', async () => {
    room = new FairRoom(ONE_THREAD);
    for (const caller of ['a', 'a', 'a', 'b', 'b', 'c']) take(caller, 1);
    for (let n = 0; n < 6; n++) {
      await breathe();
      assert.equal(begun.length, n + 1);
      held[n]?.give();
    }
    assert.deepEqual(begun, ['a1', 'a1', 'b1', 'c1', 'a1', 'b1']);
  });

  it('gives back once, however often it is told, and never takes more', async () => {
    take('a', 6);
    await breathe();
    held[0]?.give();
    held[0]?.give();
    held[0]?.shrink(9);
    for (let n = 0; n < 4; n++) take('a', 2);
    await breathe();
    assert.equal(begun.length, 4);
  });

  it('forgets who has left the queue', async () => {
    const left = new AbortController();
    take('a', 6);
    const waits = room.take('a', 6, left.signal);
    take('a', 3);
    left.abort(new HostlerError('CANCELLED', 'the caller left'));
    await assert.rejects(waits, /the caller left/);
    await assert.rejects(room.take('b', 1, left.signal), /the caller left/);
    held[0]?.give();
    await breathe();
    assert.deepEqual(begun, ['a6', 'a3']);
  });
});
