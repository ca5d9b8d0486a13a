/** A sample of test/disks: the n-th system call fails, for a few verbs and some n. */
import assert from 'node:assert/strict';
import { faultBench } from '../../support/faults/fault-bench.js';
import { faultCases } from '../../support/faults/fault-cases.js';
import { CHANGING, LOOKING, failEachCall } from '../../support/faults/nth-call.js';

const SAMPLE = ['CreateImage', 'CopyImage over something', 'FetchRawImage', 'WriteFile', 'DeleteImage', 'Chown'];

describe('some calls of a disk fail', () => {
  const bench = faultBench();
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
