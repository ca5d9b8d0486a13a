/**
 * The threads that calls into filesystems hold which do not answer: so many in all, and one
 * filesystem never has them all.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { PoolPlaces } from '../../../src/adapters/gates/pool-places.js';
import { deferred } from '../../../src/domain/model/async.js';

describe('places for calls that may hang', () => {
  const MOST = 8;
  let places: PoolPlaces;
  let entered: string[];
  let ends: (() => void)[];

  beforeEach(() => {
    places = new PoolPlaces(MOST);
    [entered, ends] = [[], []];
  });

  /** A call that has no answer before it is given one. */
  const hang = (filesystem: string, patienceMs = 60_000, slow = false) => {
    const { promise, resolve } = deferred();
    const work = () => {
      entered.push(filesystem);
      ends.push(resolve);
      return promise;
    };
    return places.inTime({ filesystem, patienceMs, slow }, work, () => undefined);
  };
  const count = (filesystem: string) => entered.filter((each) => each === filesystem).length;

  it('one filesystem has half of them', async () => {
    for (let n = 0; n < MOST; n++) void hang('dead');
    await turn();
    assert.equal(count('dead'), MOST / 2);
  });

  it('several have no more than there are, and each finds one while others hold more', async () => {
    for (let n = 0; n < MOST; n++) void hang('dead');
    for (let n = 0; n < MOST; n++) void hang('slow');
    for (const filesystem of ['third', 'fourth', 'fifth']) void hang(filesystem);
    await turn();
    assert.deepEqual(['dead', 'slow', 'third', 'fourth', 'fifth'].map(count), [4, 2, 1, 1, 0]);
  });

  it('a call that nobody waits for any more holds its place until it comes back', async () => {
    const late = await Promise.all(Array.from({ length: MOST / 2 }, () => hang('dead', 1)));
    assert.deepEqual([...new Set(late)], ['late']);
    assert.equal(await hang('dead', 1), 'late');
    assert.equal(count('dead'), MOST / 2, 'one went in beyond the bound');
    const next = hang('dead');
    ends[0]?.();
    await turn();
    assert.equal(count('dead'), MOST / 2 + 1);
    for (const end of ends) end();
    assert.notEqual(await next, 'late');
  });

  it('those who gave up waiting for a place are passed over, the others come in the order that they asked', async () => {
    for (let n = 0; n < MOST / 2; n++) void hang('dead');
    assert.equal(await hang('dead', 1), 'late');
    const order: string[] = [];
    const waiting = ['first', 'second'].map((name) => places.atLast('dead', () => Promise.resolve(order.push(name))));
    ends[0]?.();
    await Promise.all(waiting);
    assert.deepEqual(order, ['first', 'second']);
  });

  it('calls that move data leave a place to looks', async () => {
    for (let n = 0; n < MOST; n++) void hang('dead', 60_000, true);
    await turn();
    assert.equal(count('dead'), MOST / 2 - 1);
    assert.notEqual(
      await places.inTime(
        { filesystem: 'dead', patienceMs: 60_000 },
        () => Promise.resolve(),
        () => undefined,
      ),
      'late',
    );
  });

  it('a call that is a part of another one needs no other place', async () => {
    const deep = (left: number): Promise<number> =>
      left === 0 ? Promise.resolve(0) : places.atLast('dead', () => deep(left - 1));
    assert.equal(await deep(2 * MOST), 0);
  });

  it('what a call has begun and left behind needs one again', async () => {
    const go = deferred();
    let left: Promise<unknown> = Promise.resolve();
    await places.atLast('dead', () => {
      left = go.promise.then(() => hang('dead', 1));
      return Promise.resolve();
    });
    for (let n = 0; n < MOST / 2; n++) void hang('dead');
    go.resolve();
    assert.equal(await left, 'late');
  });

  it('the place of a call that fails is free again', async () => {
    for (let n = 0; n < 2 * MOST; n++)
      await assert.rejects(
        places.atLast('dead', () => Promise.reject(new Error('no'))),
        /no/,
      );
    assert.deepEqual(
      await places.inTime(
        { filesystem: 'dead', patienceMs: 1 },
        () => Promise.resolve(1),
        () => undefined,
      ),
      {
        value: 1,
      },
    );
  });
});
