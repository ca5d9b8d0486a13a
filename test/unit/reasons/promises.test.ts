/**
 * Comments of proto/ speak of failures in one way, so that the end of a run can hold them against
 * what came.
 */
import assert from 'node:assert/strict';
import { promises, reasonsAfter } from '../../support/reasons/promised.js';
import { REASONS } from '../../../src/domain/model/reasons/reasons.js';

describe('the comment of', () => {
  for (const { rpc, reasons, common } of promises())
    it(`${rpc} says what it fails with: reasons of the table, each once`, () => {
      assert.ok(reasons !== undefined, 'no `Fails with:`');
      assert.deepEqual(
        [...reasons, ...common].filter((reason) => !Object.hasOwn(REASONS, reason)),
        [],
      );
      assert.deepEqual([...new Set(reasons)], reasons);
    });

  it('each service names the same reasons that every RPC can fail with', () => {
    const lists = new Set(promises().map(({ common }) => common.join()));
    assert.equal(lists.size, 1);
    assert.ok(![...lists].includes(''), 'none are named');
  });

  it('one RPC has a name that no other has', () => {
    const names = promises().map(({ rpc }) => rpc);
    assert.deepEqual([...new Set(names)], names);
  });
});

describe('a comment', () => {
  const lists = {
    'Fails with: nothing; a bad name is an answer.': [],
    'Fails with: nothing of its own.\n': [],
    'X is SAME_FILE.\n Fails with: STALLED, BUG (XML or\n IO_ERROR) and NO_SPACE. Result: COPY.': [
      'STALLED',
      'BUG',
      'NO_SPACE',
    ],
    'Fails with: EXPIRED.\n buf:lint:ignore RPC_REQUEST_RESPONSE_UNIQUE\n': ['EXPIRED'],
    'No word of it.': undefined,
  };
  for (const [comment, reasons] of Object.entries(lists))
    it(`${JSON.stringify(comment)} promises ${reasons?.join() ?? 'nothing that can be read'}`, () => {
      assert.deepEqual(reasonsAfter('Fails with:', comment), reasons);
    });
});
