/** A sample of test/disks: the n-th system call fails, for a few verbs and some n. */
import assert from 'node:assert/strict';
import { answerOf } from '../../support/descriptors.js';
import { cacheCases } from '../../support/faults/cache-fault-cases.js';
import { faultBench } from '../../support/faults/fault-bench.js';
import { faultCases } from '../../support/faults/fault-cases.js';
import { CHANGING, LOOKING, failEachCall } from '../../support/faults/nth-call.js';
import { RPCS } from '../../support/stranger.js';

const SAMPLE = ['CreateImage', 'CopyImage over something', 'FetchRawImage', 'WriteFile', 'DeleteImage', 'Chown'];

/** They change no file, or follow what another call does. */
const NOT_TRIED = ['CompareImages', 'WatchOperation'];

describe('some calls of a disk fail', () => {
  const bench = faultBench();

  it('each RPC that is an operation is among those of test/disks', () => {
    const cases = [...faultCases(bench), ...cacheCases(bench)];
    const tried = new Set(cases.map(({ name }) => /^\w+/.exec(name)?.[0]));
    const operations = RPCS.filter(({ rpc }) => answerOf(rpc).name === 'OperationEvent');
    assert.ok(operations.length > 0);
    assert.deepEqual(
      operations.map(({ rpc }) => rpc.replace(/.*\//, '')).filter((name) => !tried.has(name)),
      NOT_TRIED,
    );
  });

  for (const each of faultCases(bench).filter(({ name }) => SAMPLE.includes(name)))
    it(`${each.name}: the answer is planned, nothing is left, the same call again succeeds`, async function () {
      this.timeout(60_000);
      const changes = { kinds: CHANGING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 3 } as const;
      const looks = {
        kinds: LOOKING,
        errno: 'ESTALE',
        reasons: ['ROOT_UNAVAILABLE', 'DEPENDANTS_UNKNOWN'],
        stride: 5,
      } as const;
      const failed = [await failEachCall(bench.disk(), each, changes), await failEachCall(bench.disk(), each, looks)];
      assert.notDeepEqual(failed, [0, 0]);
    });
});
