/** What is held to a rate; with times of its own, not those of the machine. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { SharedRates } from '../../../src/domain/cache/shared-rates.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { Pace, paced } from '../../../src/domain/transfer/pace.js';

const { signal: never } = new AbortController();

describe('a rate', () => {
  it('lets nothing pass before its time', async () => {
    const [pace, started] = [new Pace(() => 100_000n), performance.now()];
    await pace.reach(30_000, never);
    await pace.reach(60_000, never);
    const ms = performance.now() - started;
    // 600 ms, less what is made up for, and less a timer that is early.
    assert.ok(ms > 480, String(ms));
  });

  it('is none where none is set', async () => {
    const pace = new Pace(() => undefined);
    await pace.reach(Number.MAX_SAFE_INTEGER, AbortSignal.abort(new Error('it waited')));
  });

  it('that is raised holds for what waits already', async () => {
    let rate: bigint | undefined = 10n;
    const passed = new Pace(() => rate).reach(1_000_000, never);
    rate = undefined;
    await passed;
  });

  it('ends with its signal', async () => {
    const abort = new AbortController();
    const waiting = new Pace(() => 1n).reach(1000, abort.signal);
    abort.abort(new HostlerError('CANCELLED', 'given up'));
    await assert.rejects(waiting, /given up/);
  });

  it('keeps pieces whole and in order', async () => {
    const pieces = Readable.from([0, 1, 2, 3, 4]);
    const seen: number[] = [];
    for await (const piece of paced(pieces, () => 100, 10_000n, never)) seen.push(Number(piece));
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  });
});

describe('the rate of a download that several wait for', () => {
  it('is the highest of their limits, and none where one has none', () => {
    const rates = new SharedRates();
    assert.equal(rates.of('a'), undefined);
    const leaves = [rates.join('a', 5n), rates.join('a', 9n), rates.join('b', 1n)];
    assert.deepEqual([rates.of('a'), rates.of('b')], [9n, 1n]);
    const free = rates.join('a', undefined);
    assert.equal(rates.of('a'), undefined);
    free();
    assert.equal(rates.of('a'), 9n);
    leaves[1]?.();
    assert.equal(rates.of('a'), 5n);
  });

  it('is forgotten with the last who waited', () => {
    const rates = new SharedRates();
    rates.join('a', 5n)();
    assert.equal(rates.of('a'), undefined);
  });
});
