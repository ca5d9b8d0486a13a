/**
 * The comments of proto/ speak of failures in one way: what an RPC fails with stands only there, what
 * a group means also in a table. At the end of a run of all tests they are held against what came.
 */
import assert from 'node:assert/strict';
import { expanded, fails, REASON_GROUPS, type Failures } from '../../../src/domain/model/reasons/groups.js';
import { comments, failuresIn, groupComments, serviceComments } from '../../support/reasons/promised.js';

const EVERY_CALL = 'Every RPC fails as every call';

function failuresOf(comment: string): Failures {
  return failuresIn(comment) ?? assert.fail('no `Fails as …` or `Fails with: …`');
}

describe('the comment of', () => {
  for (const [rpc, comment] of comments())
    it(`${rpc} says what it fails with, in groups and reasons that there are, each once`, () => {
      failuresOf(comment);
    });

  for (const [group, failures] of Object.entries(REASON_GROUPS))
    it(`operation.proto says what to fail as ${group} means, as the table does`, () => {
      assert.deepEqual(failuresOf(groupComments().get(group) ?? ''), failures);
    });

  it('each service says that its RPCs fail as every call', () => {
    assert.deepEqual(
      serviceComments().filter((comment) => !comment.replaceAll(/\s+/g, ' ').includes(EVERY_CALL)),
      [],
    );
  });
});

describe('the table of groups', () => {
  it('has the groups that proto/ has', () => {
    assert.deepEqual(Object.keys(REASON_GROUPS).sort(), [...groupComments().keys()].sort());
  });

  for (const [name, { groups, own }] of Object.entries(REASON_GROUPS))
    it(`names as ${name}'s own only what none of its groups has`, () => {
      const ofGroups = expanded(fails(groups, []));
      assert.deepEqual(
        own.filter((reason) => ofGroups.includes(reason)),
        [],
      );
    });
});

describe('of a comment', () => {
  const right = {
    'Fails with: nothing; a bad name is an answer.': fails([], []),
    'X is SAME_FILE.\n Fails with: STALLED, BUG (XML or\n IO_ERROR) and NO_SPACE. Result: COPY.': fails(
      [],
      ['STALLED', 'BUG', 'NO_SPACE'],
    ),
    'Fails as finding an\n image.\n buf:lint:ignore RPC_REQUEST_RESPONSE_UNIQUE\n': fails(['finding an image'], []),
    'Fails as naming a path, as running a\n tool, and with: EXPIRED, TOOL_FAILED (virsh).': fails(
      ['naming a path', 'running a tool'],
      ['EXPIRED'],
    ),
  };
  for (const [comment, failures] of Object.entries(right))
    it(`${JSON.stringify(comment)} the groups and own reasons are read`, () => {
      assert.deepEqual(failuresOf(comment), failures);
    });

  const wrong = {
    'Fails as finding a path.': /no group/,
    'Fails as finding an image and as naming a path.': /no group/,
    'Fails with: NO_SUCH_REASON.': /no reason: NO_SUCH_REASON/,
    'Fails with: EXPIRED, EXPIRED (later).': /twice: EXPIRED/,
    'Fails as running a tool, and with: TOOL_FAILED.': /twice: TOOL_FAILED/,
  };
  for (const [comment, complaint] of Object.entries(wrong))
    it(`${JSON.stringify(comment)} the mistake is found`, () => {
      assert.throws(() => failuresIn(comment), complaint);
    });

  it('that does not speak of failures nothing is read', () => {
    assert.equal(failuresIn('No word of it.'), undefined);
  });
});
