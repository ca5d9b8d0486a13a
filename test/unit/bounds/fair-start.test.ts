import assert from 'node:assert/strict';
import { setImmediate as breathe } from 'node:timers/promises';
import { FairStart } from '../../../src/server/bounds/fair-start.js';

describe('the start of calls', () => {
  const limits = { inAll: 4, perCaller: 2, longestMs: 60_000 };
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  let start: FairStart;
  beforeEach(() => {
    start = new FairStart(limits);
    begun.length = 0;
    ends.length = 0;
  });
  const call = (caller: string) => {
    void start.take(caller).then((end) => {
      begun.push(caller);
      ends.push(end);
    });
  };
  const endNext = async () => {
    await breathe();
    ends.shift()?.();
    await breathe();
  };

  it('leaves room beside a caller with hundreds', async () => {
    for (let n = 0; n < 300; n++) call('greedy');
    call('modest');
    await breathe();
    assert.deepEqual(begun, ['greedy', 'greedy', 'modest']);
  });

  it('goes round the callers, however many calls each has', async () => {
    for (const caller of ['a', 'b', 'c']) for (let n = 0; n < (caller === 'a' ? 100 : 3); n++) call(caller);
    for (let n = 0; n < 5; n++) await endNext();
    // Four at once: two of a and two of b. Then everybody in turn, though a has asked a hundred
    // times.
    assert.deepEqual(begun, ['a', 'a', 'b', 'b', 'a', 'c', 'b', 'a', 'c']);
  });

  it('a place that was given back twice counts once', async () => {
    for (let n = 0; n < 3; n++) call('a');
    await breathe();
    ends[0]?.();
    ends[0]?.();
    await breathe();
    assert.deepEqual(begun, ['a', 'a', 'a']);
    call('a');
    await breathe();
    assert.equal(begun.length, 3);
  });

  it('a call that waits for something holds nobody up for longer than the limit', async () => {
    start = new FairStart({ ...limits, longestMs: 1 });
    for (let n = 0; n < 5; n++) call('a');
    while (begun.length < 5) await breathe();
  });

  it('knows nobody any more when all have ended', async () => {
    for (const caller of ['a', 'b', 'c', 'd', 'e', 'f']) for (let n = 0; n < 5; n++) call(caller);
    for (let n = 0; n < 30; n++) await endNext();
    assert.equal(begun.length, 30);
    call('a');
    await breathe();
    assert.equal(begun.length, 31);
  });
});
