import assert from 'node:assert/strict';
import { Frames } from '../../../src/server/bounds/frames.js';
import { Shares } from '../../../src/server/bounds/shares.js';

const frame = (length: number) => {
  const bytes = Buffer.alloc(5 + length, 7);
  bytes.writeUInt32BE(length, 1);
  return bytes;
};

describe('messages as they come in', () => {
  const lengths = [0, 1, 300, 0, 5, 70_000, 4];
  const whole = Buffer.concat(lengths.map(frame));

  for (const size of [1, 2, 4, 5, 6, 7, 4096, whole.length])
    it(`are told apart in pieces of ${String(size)} bytes`, () => {
      const begun: number[] = [];
      let held = 0;
      const frames = new Frames({ begins: (bytes) => begun.push(bytes) > 0, holds: (bytes) => (held = bytes) >= 0 });
      for (let at = 0; at < whole.length; at += size) assert.ok(frames.take(whole.subarray(at, at + size)));
      assert.deepEqual(begun, lengths);
      assert.equal(held, 0, 'nothing is held once every message is whole');
    });

  it('what has come of one that is not whole is held', () => {
    const held: number[] = [];
    const frames = new Frames({ begins: () => true, holds: (bytes) => held.push(bytes) > 0 });
    const half = frame(100);
    for (const [from, to] of [
      [0, 3],
      [3, 5],
      [5, 50],
      [50, 104],
      [104, 105],
    ])
      frames.take(half.subarray(from, to));
    assert.deepEqual(held, [3, 5, 50, 104, 0]);
  });

  it('one that is too long ends the look at its head', () => {
    const frames = new Frames({ begins: (bytes) => bytes <= 10, holds: () => true });
    assert.equal(frames.take(frame(10)), true);
    assert.equal(frames.take(frame(11).subarray(0, 4)), true);
    assert.equal(frames.take(frame(11).subarray(4, 5)), false);
  });
});

describe('shares', () => {
  it("are each caller's own, and are forgotten when nothing is held", () => {
    const shares = new Shares(10);
    assert.deepEqual([shares.take('a', 6), shares.take('a', 5), shares.take('b', 10)], [true, false, true]);
    shares.give('a', 2);
    assert.ok(shares.take('a', 6));
    assert.equal(shares.take('a', 1), false);
    shares.give('a', 10);
    shares.give('b', 10);
    assert.ok(shares.empty);
  });
});
