import assert from 'node:assert/strict';
import { isZeros } from '../../../src/domain/model/zeros.js';

const MIB = 1024 * 1024;

describe('isZeros', () => {
  for (const length of [0, 1, 4096, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
    it(`of ${String(length)} bytes one that is not zero is found anywhere, and no more is looked at`, () => {
      const data = Buffer.alloc(length);
      assert.equal(isZeros(data), true);
      for (const at of new Set(
        [0, 1, length >> 1, MIB - 1, MIB, length - 1].filter((each) => each >= 0 && each < length),
      )) {
        data[at] = 1;
        assert.equal(isZeros(data), false, `at ${String(at)}`);
        assert.equal(isZeros(data, 0, at), true, `up to ${String(at)}`);
        assert.equal(isZeros(data, at + 1), true, `behind ${String(at)}`);
        assert.equal(isZeros(data, at, at + 1), false, `only ${String(at)}`);
        data[at] = 0;
      }
    });
});
