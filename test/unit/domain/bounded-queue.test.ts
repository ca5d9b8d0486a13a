/**
 * The queue between producers and a reader: no wake-up is lost, and every wait ends with its
 * signal.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { BoundedQueue } from '../../../src/domain/model/bounded-queue.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { untilAborted } from '../../../src/domain/model/async.js';
import { stateOf } from '../../support/event-loop.js';

const reason = new HostlerError('CANCELLED', 'enough');
const never = new AbortController().signal;

describe('BoundedQueue', () => {
  for (const producers of [1, 2, 3, 16])
    for (const capacity of [1, 2, 4])
      it(`${String(producers)} producers, room for ${String(capacity)}, a slow reader: everything comes, each one's in order`, async () => {
        const queue = new BoundedQueue<readonly [number, number]>(capacity);
        const each = 200;
        const produce = async (who: number) => {
          for (let n = 0; n < each; n++) {
            await queue.put([who, n], never);
            // Now and then out of step with the reader.
            if ((n * 7 + who) % 5 === 0) await turn();
          }
        };
        const work = Promise.all(Array.from({ length: producers }, (_, who) => produce(who)));
        void work.then(() => queue.end(undefined));
        const next = new Map<number, number>();
        let count = 0;
        for await (const [who, n] of queue.items(never)) {
          assert.equal(n, next.get(who) ?? 0);
          next.set(who, n + 1);
          if (++count % 3 === 0) await turn();
        }
        assert.equal(count, producers * each);
        await work;
      });

  it('holds no more than its capacity and one a producer for a reader that does not read', async () => {
    const queue = new BoundedQueue<number>(4);
    let put = 0;
    const stop = new AbortController();
    const produce = async () => {
      for (;;) {
        await queue.put(1, stop.signal);
        put += 1;
      }
    };
    const work = Promise.allSettled([produce(), produce(), produce()]);
    for (let turns = 0; turns < 50; turns++) await turn();
    assert.ok(put >= 1 && put <= 5, String(put));
    stop.abort(reason);
    const ends = await work;
    assert.deepEqual(
      ends.map((end) => end.status === 'rejected' && (end.reason as unknown)),
      [reason, reason, reason],
    );
  });

  it('a put that waits, and one that comes after, end with their own signal; others wait on', async () => {
    const queue = new BoundedQueue<number>(1);
    await queue.put(0, never);
    const [one, other] = [new AbortController(), new AbortController()];
    const waiting = Array.from({ length: 3 }, () => queue.put(1, one.signal));
    const late = queue.put(2, other.signal);
    one.abort(reason);
    for (const put of waiting) await assert.rejects(put, { reason: 'CANCELLED' });
    await assert.rejects(queue.put(3, one.signal), { reason: 'CANCELLED' });
    assert.equal(await stateOf(late), 'waits');
    other.abort(reason);
    await assert.rejects(late, { reason: 'CANCELLED' });
  });

  it('a reader that waits for the first item, or for the next, ends with its signal', async () => {
    for (const items of [0, 1]) {
      const queue = new BoundedQueue<number>(2);
      for (let n = 0; n < items; n++) await queue.put(n, never);
      const abort = new AbortController();
      const read = (async () => {
        for await (const item of queue.items(abort.signal)) assert.equal(item, 0);
      })();
      assert.equal(await stateOf(read), 'waits');
      abort.abort(reason);
      await assert.rejects(read, { reason: 'CANCELLED' });
      // Nobody reads any more: a producer does not wait for that.
      for (let n = 0; n < 10; n++) await queue.put(n, never);
    }
  });

  it('a reader that leaves frees every producer that waits', async () => {
    const queue = new BoundedQueue<number>(1);
    const puts = Array.from({ length: 8 }, (_, n) => queue.put(n, never));
    for await (const item of queue.items(never)) {
      assert.equal(item, 0);
      break;
    }
    await Promise.all(puts);
    await queue.put(9, never);
    queue.end(undefined);
  });

  it('what waits comes before the end, and before an error', async () => {
    for (const error of [undefined, new HostlerError('IO_ERROR', 'x')]) {
      const queue = new BoundedQueue<number>(2);
      const puts = [1, 2, 3, 4].map((n) => queue.put(n, never));
      queue.end(error);
      const seen: number[] = [];
      const read = (async () => {
        for await (const item of queue.items(never)) seen.push(item);
      })();
      if (error === undefined) await read;
      else await assert.rejects(read, { reason: 'IO_ERROR' });
      assert.deepEqual(seen, [1, 2, 3, 4]);
      await Promise.all(puts);
    }
  });

  it('an end before anything, twice, and items after it', async () => {
    const queue = new BoundedQueue<number>(2);
    queue.end(undefined);
    queue.end(new Error('late'));
    await queue.put(1, never);
    for await (const item of queue.items(never)) assert.fail(String(item));
  });
});

describe('untilAborted', () => {
  async function* stuck(after: number, left: () => void): AsyncGenerator<number> {
    try {
      for (let n = 0; n < after; n++) yield n;
      await new Promise(() => undefined);
    } finally {
      left();
    }
  }
  it('ends a wait for items that never come', async () => {
    for (const after of [0, 1, 3]) {
      const abort = new AbortController();
      const seen: number[] = [];
      const read = (async () => {
        for await (const item of untilAborted(
          stuck(after, () => undefined),
          abort.signal,
        ))
          seen.push(item);
      })();
      assert.equal(await stateOf(read), 'waits');
      abort.abort(reason);
      await assert.rejects(read, { reason: 'CANCELLED' });
      assert.equal(seen.length, after);
    }
  });
  it('leaves the items when its reader leaves', async () => {
    let left = 0;
    for await (const item of untilAborted(
      stuck(3, () => (left += 1)),
      never,
    ))
      if (item === 1) break;
    assert.equal(left, 1);
  });
  it('takes no item after the signal', async () => {
    const abort = new AbortController();
    await assert.rejects(
      async () => {
        for await (const item of untilAborted(
          stuck(3, () => undefined),
          abort.signal,
        )) {
          assert.equal(item, 0);
          abort.abort(reason);
        }
      },
      { reason: 'CANCELLED' },
    );
  });
});
