import assert from 'node:assert/strict';
import { Shares } from '../../../src/server/bounds/shares.js';

describe('shares of callers', () => {
  it('are bounded for each, and given back', () => {
    const shares = new Shares(8);
    assert.ok(shares.take('a', 8));
    assert.ok(!shares.take('a', 1));
    assert.ok(shares.take('b', 8));
    shares.give('a', 1);
    assert.ok(shares.take('a', 1));
    for (const caller of ['a', 'b']) shares.give(caller, 8);
    assert.ok(shares.empty);
  });

  it('are bounded for all together: who has little is let in all the same', () => {
    const shares = new Shares(8, 12);
    assert.ok(shares.take('a', 8));
    assert.ok(!shares.take('b', 5));
    assert.ok(shares.take('b', 4));
    assert.ok(!shares.take('c', 2));
    assert.ok(shares.take('c', 1));
    assert.ok(!shares.take('c', 1));
    shares.give('a', 8);
    assert.ok(shares.take('c', 7));
  });

  it('that were refused are not counted', () => {
    const shares = new Shares(8, 8);
    for (let n = 0; n < 100; n++) assert.ok(!shares.take('a', 9));
    assert.ok(shares.take('a', 8));
  });
});
