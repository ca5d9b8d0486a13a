/** Each system call of each verb fails once. */
import { faultBench } from '../support/faults/fault-bench.js';
import { faultCases } from '../support/faults/fault-cases.js';
import { CHANGING, LOOKING, failEachCall } from '../support/faults/nth-call.js';

const EDQUOT = 122;
/** The second: where nobody can look for images that are backed by this one. */
const LOOKED = ['IO_ERROR', 'DEPENDANTS_UNKNOWN'];

describe('the n-th call of a disk fails', () => {
  const bench = faultBench();
  for (const each of faultCases(bench)) {
    it(`${each.name}: each second call that changes something, EIO`, () =>
      failEachCall(bench.disk(), each, { kinds: CHANGING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 2 }));
    it(`${each.name}: each fifth call that looks, EIO`, () =>
      failEachCall(bench.disk(), each, { kinds: LOOKING, errno: 'EIO', reasons: LOOKED, stride: 5 }));
    it(`${each.name}: each eighth call that changes something, EDQUOT`, () =>
      failEachCall(bench.disk(), each, { kinds: CHANGING, errno: EDQUOT, reasons: ['NO_SPACE'], stride: 8 }));
  }
});
