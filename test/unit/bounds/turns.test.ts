import assert from 'node:assert/strict';
import { deferred } from '../../../src/domain/model/async.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { Turns } from '../../../src/adapters/process/turns.js';

const NEVER = new AbortController().signal;

describe('turns', () => {
  it('are one a turn of the event loop, in the order in which they were asked for', async () => {
    const turns = new Turns();
    const loop: string[] = [];
    let over = false;
    const tick = () => {
      loop.push('loop');
      if (!over) setImmediate(tick);
    };
    setImmediate(tick);
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => turns.run(NEVER, () => Promise.resolve(loop.push(name)))));
    over = true;
    const names = loop.filter((each) => each !== 'loop');
    assert.deepEqual(names, ['a', 'b', 'c', 'd']);
    for (const [index, name] of loop.entries())
      assert.ok(index === 0 || name === 'loop' || loop[index - 1] === 'loop', loop.join(' '));
  });
  it('wait for the work before them, whatever comes of it, and not beyond their signal', async () => {
    const turns = new Turns();
    const [first, started] = [deferred(), deferred()];
    const begun: string[] = [];
    const work = (name: string, end: () => Promise<void>) => () => {
      begun.push(name);
      started.resolve();
      return end();
    };
    const cancel = new AbortController();
    const all = [
      turns.run(
        NEVER,
        work('first', () => first.promise),
      ),
      turns.run(
        cancel.signal,
        work('cancelled', () => Promise.resolve()),
      ),
      turns.run(
        NEVER,
        work('failing', () => Promise.reject(new Error('x'))),
      ),
      turns.run(
        NEVER,
        work('last', () => Promise.resolve()),
      ),
    ];
    await started.promise;
    cancel.abort(new HostlerError('CANCELLED', 'x'));
    await assert.rejects(Promise.race(all), { reason: 'CANCELLED' });
    assert.deepEqual(begun, ['first']);
    first.resolve();
    const ends = await Promise.allSettled(all);
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(begun, ['first', 'failing', 'last']);
  });
});
