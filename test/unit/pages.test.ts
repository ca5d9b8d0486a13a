import assert from 'node:assert/strict';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { fitting } from '../../src/handlers/pages.js';

const MIB = 1024 * 1024;

describe('pages', () => {
  const page = (...lengths: readonly number[]) =>
    fitting(lengths, (length) => new BinaryWriter().raw(new Uint8Array(length)));

  it('hold what fits, in order, and at least one item', () => {
    assert.deepEqual(page(), []);
    assert.deepEqual(page(1, 2, 3), [1, 2, 3]);
    assert.deepEqual(page(MIB, MIB, 1), [MIB, MIB]);
    assert.deepEqual(page(MIB, MIB + 1, 1), [MIB]);
    assert.deepEqual(page(3 * MIB, 1), [3 * MIB]);
    assert.deepEqual(page(1, 3 * MIB, 1), [1]);
  });
});
