import assert from 'node:assert/strict';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { pageOf } from '../../../src/handlers/pages.js';

const KIB = 1024;
const never = new AbortController().signal;

describe('pages', () => {
  const page = (...lengths: readonly number[]) =>
    pageOf(
      lengths,
      (length) => length,
      (length) => new BinaryWriter().raw(new Uint8Array(length)),
      never,
    );

  it('hold what fits, in order, and at least one item', async () => {
    assert.deepEqual(await page(), []);
    assert.deepEqual(await page(1, 2, 3), [1, 2, 3]);
    assert.deepEqual(await page(128 * KIB, 128 * KIB, 1), [128 * KIB, 128 * KIB]);
    assert.deepEqual(await page(128 * KIB, 128 * KIB + 1, 1), [128 * KIB]);
    assert.deepEqual(await page(3 * KIB * KIB, 1), [3 * KIB * KIB]);
    assert.deepEqual(await page(1, 3 * KIB * KIB, 1), [1]);
  });

  it('are made in slices, show nothing that does not fit, and end with their caller', async () => {
    const abort = new AbortController();
    const shown: number[] = [];
    const turns: number[] = [];
    const tick = () => {
      turns.push(shown.length);
      if (!abort.signal.aborted) setImmediate(tick);
    };
    setImmediate(tick);
    const items = Array.from({ length: 1000 }, (_, index) => index);
    const made = pageOf(
      items,
      (item) => {
        shown.push(item);
        if (item === 500) abort.abort(new Error('gone'));
        return item;
      },
      () => new BinaryWriter(),
      abort.signal,
    );
    await assert.rejects(made, /gone/);
    assert.ok(shown.length < 550, String(shown.length));
    assert.ok(new Set(turns).size > 10, String(turns));
  });
});
