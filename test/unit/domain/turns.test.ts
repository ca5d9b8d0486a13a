import assert from 'node:assert/strict';
import { breathe, inTurns } from '../../../src/domain/model/async.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('turns of the event loop', () => {
  it('are had by one after the other, in order, however many wait', async () => {
    const had: number[] = [];
    const waiting = Array.from({ length: 50 }, (_, index) => breathe().then(() => had.push(index)));
    for (let turn = 1; turn <= waiting.length; turn++) {
      await nextTurn();
      assert.ok(had.length <= turn, `${String(had.length)} after ${String(turn)} turns`);
    }
    await Promise.all(waiting);
    assert.deepEqual(
      had,
      Array.from({ length: 50 }, (_, index) => index),
    );
  });
  it('are shared by long works, which all come to their end', async () => {
    const steps = function* (count: number): Generator<void, void> {
      for (let step = 0; step < count; step++) {
        at.push(count);
        yield;
      }
    };
    const at: number[] = [];
    await Promise.all([5, 3, 4].map((count) => inTurns(steps(count))));
    assert.deepEqual(at, [5, 3, 4, 5, 3, 4, 5, 3, 4, 5, 4, 5]);
  });
});
