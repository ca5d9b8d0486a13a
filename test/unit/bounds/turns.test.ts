import assert from 'node:assert/strict';
import { Turns } from '../../../src/adapters/process/turns.js';

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
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => turns.next().then(() => loop.push(name))));
    over = true;
    const names = loop.filter((each) => each !== 'loop');
    assert.deepEqual(names, ['a', 'b', 'c', 'd']);
    for (const [index, name] of loop.entries())
      assert.ok(index === 0 || name === 'loop' || loop[index - 1] === 'loop', loop.join(' '));
  });
});
