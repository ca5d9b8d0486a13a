/** Rates and the time that is left. */
import assert from 'node:assert/strict';
import { ProgressMeter } from '../../../src/domain/operations/progress.js';

describe('ProgressMeter', () => {
  it('gives rate and time left of the last seconds', () => {
    let now = 0;
    const meter = new ProgressMeter(() => now);
    const at = (time: number, doneBytes: bigint) => {
      now = time;
      return meter.measure({ doneBytes, totalBytes: 100_000n, skippedBytes: 0n });
    };
    assert.equal(at(0, 0n).bytesPerSecond, undefined);
    assert.equal(at(1000, 1000n).bytesPerSecond, 1000n);
    for (let time = 2000; time <= 20_000; time += 1000) at(time, BigInt(time * 4));
    const last = at(21_000, 84_000n);
    assert.equal(last.bytesPerSecond, 4000n);
    assert.equal(last.etaMs, 4000);
  });
  it('begins its rate again with another total: that is of other work', () => {
    let now = 0;
    const meter = new ProgressMeter(() => now);
    const at = (time: number, doneBytes: bigint, totalBytes?: bigint) => {
      now = time;
      return meter.measure({ doneBytes, skippedBytes: 0n, ...(totalBytes === undefined ? {} : { totalBytes }) });
    };
    // A digest that reads little, behind which all that was copied is shown.
    at(0, 0n, 1000n);
    assert.equal(at(1000, 1000n, 1000n).bytesPerSecond, 1000n);
    assert.deepEqual(at(1100, 16_000_000n, 16_000_000n), {
      doneBytes: 16_000_000n,
      totalBytes: 16_000_000n,
      skippedBytes: 0n,
    });
    assert.equal(at(2100, 16_000_000n, 16_000_000n).bytesPerSecond, 0n);
    // One that was passed was an estimate, and stays the same.
    at(3000, 0n, 10n);
    assert.equal(at(4000, 500n, 10n).bytesPerSecond, 500n);
    assert.equal(at(5000, 1000n, 10n).bytesPerSecond, 500n);
    // One that becomes known.
    at(6000, 0n);
    assert.equal(at(7000, 700n).bytesPerSecond, 700n);
    assert.equal(at(7100, 800n, 1000n).bytesPerSecond, undefined);
  });
});
