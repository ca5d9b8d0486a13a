import assert from 'node:assert/strict';
import { asAddress } from '../../../src/domain/model/address.js';
import { asHostlerError, HostlerError } from '../../../src/domain/model/errors.js';
import { whileGrowing } from '../../../src/domain/operations/resources/while-growing.js';
import { until } from '../../support/until.js';

const MIB = 1n << 20n;
const GIB = 1n << 30n;
const target = asAddress('/disks/target');

/** A disk on which so much may be reserved, and what was. */
function disk(roomBytes: bigint) {
  const reserved: bigint[] = [];
  const reserve = (_: unknown, bytes: bigint) => {
    if (bytes > roomBytes) return Promise.reject(new HostlerError('NO_SPACE', 'it is full'));
    reserved.push(bytes);
    return Promise.resolve(() => undefined);
  };
  return { reserved, run: { reserve, signal: new AbortController().signal } };
}

const untilEnded = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(asHostlerError(signal.reason));
    });
  });

describe('what a tool writes by itself', () => {
  it('what takes what it said is reserved once, never more than it can take', async () => {
    for (const [shareBytes, expected] of [
      [0n, 64n * MIB],
      [10n * MIB, 74n * MIB],
      [GIB - MIB, GIB],
      [GIB, GIB],
    ] as const) {
      const { reserved, run } = disk(GIB);
      let looks = 0;
      const takenBytes = () => Promise.resolve((looks++, shareBytes));
      await whileGrowing(run, target, { shareBytes, mostBytes: GIB, takenBytes }, () =>
        until(() => Promise.resolve(looks > 2)),
      );
      assert.deepEqual(reserved, [expected]);
    }
  });

  it('what takes more is reserved ahead of it, until there is no more room', async () => {
    const { reserved, run } = disk(GIB);
    let taken = 0n;
    const takenBytes = () => Promise.resolve((taken += 30n * MIB));
    const growth = { shareBytes: 0n, mostBytes: 100n * GIB, takenBytes };
    const failed = await whileGrowing(run, target, growth, untilEnded).catch(asHostlerError);
    assert.ok(failed instanceof HostlerError && failed.reason === 'NO_SPACE');
    assert.ok(reserved.length > 5 && taken < GIB, String(reserved));
  });

  it('where what it takes cannot be known it ends', async () => {
    const { run } = disk(GIB);
    const takenBytes = () => Promise.reject(new HostlerError('ROOT_STALLED', 'no answer'));
    const failed = whileGrowing(run, target, { shareBytes: 0n, mostBytes: GIB, takenBytes }, untilEnded);
    await assert.rejects(failed, { reason: 'ROOT_STALLED' });
  });

  it('where there is no room nothing begins', async () => {
    const { run } = disk(MIB);
    const takenBytes = () => Promise.resolve(0n);
    const work = () => Promise.reject(new Error('it has begun'));
    const failed = whileGrowing(run, target, { shareBytes: 2n * MIB, mostBytes: GIB, takenBytes }, work);
    await assert.rejects(failed, { reason: 'NO_SPACE' });
  });
});
