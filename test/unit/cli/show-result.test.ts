/** What the command shows of a result: of plans and of work every field, also one that is new. */
import assert from 'node:assert/strict';
import { showResult } from '../../../src/cli/show-result.js';
import type { OperationResult } from '../../../src/gen/hostler/v1/operation.js';

const KIB = 1024n;
const plan = { method: 'm', why: 'w', moveBytes: KIB, needBytes: 2n * KIB, freeBytes: 3n * KIB };
const show = (result: NonNullable<OperationResult['result']>, replayed = false) => showResult({ result, replayed });
const image = (work: { movedBytes: bigint; skippedBytes: bigint }, replayed = false) =>
  show(
    { $case: 'image', value: { info: undefined, work: { method: 'm', why: 'w', ...work }, changed: true } },
    replayed,
  );

describe('the command shows', () => {
  it('each field of a plan in a line, amounts as bytes', () => {
    assert.deepEqual(show({ $case: 'plan', value: plan }).split('\n'), [
      'method  m',
      'why     w',
      'move    1.0 KiB',
      'need    2.0 KiB',
      'free    3.0 KiB',
    ]);
  });

  it('no line for what a plan does not know, and one for zero', () => {
    const value = { ...plan, moveBytes: undefined, freeBytes: 0n };
    assert.deepEqual(show({ $case: 'plan', value }).split('\n'), [
      'method  m',
      'why     w',
      'need    2.0 KiB',
      'free    0 B',
    ]);
  });

  it('a field that it does not know by its name', () => {
    const value: typeof plan = Object.assign({}, plan, { someNewBytes: KIB, note: 'n' });
    assert.match(show({ $case: 'plan', value }), /^some new +1\.0 KiB\nnote +n$/m);
  });

  it('the amounts of what was done to an image, and none that is zero', () => {
    assert.equal(image({ movedBytes: KIB, skippedBytes: 0n }), 'done\n  1.0 KiB moved');
    assert.equal(image({ movedBytes: KIB, skippedBytes: 2n * KIB }), 'done\n  1.0 KiB moved, 2.0 KiB skipped');
    assert.equal(image({ movedBytes: 0n, skippedBytes: 0n }), 'done');
  });

  it('that a result is an earlier one', () => {
    assert.match(image({ movedBytes: 0n, skippedBytes: 0n }, true), /^done \(done before/);
  });
});
