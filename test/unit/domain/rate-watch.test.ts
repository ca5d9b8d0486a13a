/** Whom the rate watch blames. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { RateWatch } from '../../../src/domain/fetch/rate-watch.js';

const STALL_MS = 1000;

describe('RateWatch', () => {
  const rules = { attempts: 1, backoffMs: 1, maxBackoffMs: 1, maxBytes: 1n, stallMs: STALL_MS };
  let watch: RateWatch;
  const watching = (minBytesPerSecond = 1) => (watch = new RateWatch('x', { ...rules, minBytesPerSecond }));
  afterEach(() => {
    watch.stop();
  });
  const never = () => new Promise<never>(() => undefined);
  const stalled = (ms: number) =>
    Promise.race([
      new Promise((resolve) => {
        watch.signal.addEventListener('abort', () => {
          resolve(true);
        });
      }),
      sleep(ms, false),
    ]);

  it('a source that sends nothing is stalled', async () => {
    void watching().waitFor(never());
    assert.equal(await stalled(20 * STALL_MS), true);
    assert.match(String(watch.signal.reason), /sent 0 bytes in 1000 ms/);
  });

  it('a source that sends too little is stalled', async () => {
    const slow = watching(1_000_000);
    const over = new AbortController();
    const work = (async () => {
      while (!over.signal.aborted) {
        await slow.waitFor(sleep(50));
        slow.came(10);
      }
    })();
    assert.equal(await stalled(20 * STALL_MS), true);
    over.abort();
    await work;
  });

  it('is not blamed while nobody waits for it', async () => {
    const slow = watching();
    await slow.waitFor(Promise.resolve());
    assert.equal(await stalled(3 * STALL_MS), false);
  });

  it('is not blamed for the time of whoever takes what it sent, however short it is waited for', async () => {
    const slow = watching(1000);
    const until = performance.now() + 4 * STALL_MS;
    while (performance.now() < until && !slow.signal.aborted) {
      await slow.waitFor(Promise.resolve());
      slow.came(1);
      await sleep(STALL_MS / 3);
    }
    assert.equal(slow.signal.aborted, false);
  });

  it('is not blamed while the process itself could not listen', async () => {
    void watching().waitFor(never());
    // Nothing of ours runs meanwhile.
    const until = performance.now() + 3 * STALL_MS;
    while (performance.now() < until);
    await new Promise(setImmediate);
    assert.equal(watch.signal.aborted, false);
  });

  it('is blamed after a pause as if there had been none', async () => {
    const slow = watching();
    await slow.waitFor(sleep(100));
    await sleep(2 * STALL_MS);
    void slow.waitFor(never());
    assert.equal(await stalled(20 * STALL_MS), true);
  });
});
