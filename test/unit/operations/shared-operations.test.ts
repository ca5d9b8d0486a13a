/** An operation that others share: whose labels it has, and who sees which of them. */
import assert from 'node:assert/strict';
import { hasLabels, maySee } from '../../../src/domain/access/ownership.js';
import { roleOf } from '../../../src/domain/access/role.js';
import { asAddress } from '../../../src/domain/model/address.js';
import { LiveOperation } from '../../../src/domain/operations/live-operation.js';
import { shownTo } from '../../../src/domain/operations/shown.js';
import { record } from '../../support/journals/records.js';

describe('an operation that others share', () => {
  const waiters = [{ team: 'x', vm: '1' }, { team: 'y', vm: '2' }, { team: 'x', disk: 'a' }, {}];
  const base = asAddress('rbd:pool/base');
  const shared = record(1, { labels: waiters[0] ?? {}, waiters, addresses: [base], caller: 'hostler:cache' });
  const asker = (labels: Record<string, string>, read = ['rbd:pool']) => ({
    identity: 'someone',
    grant: roleOf('r', { operations: 'see', read, labels }),
  });

  it('has the labels of each of them, and not some of one and some of another', () => {
    for (const labels of [...waiters, { vm: '2' }, { disk: 'a' }]) assert.ok(hasLabels(shared, labels));
    for (const labels of [{ team: 'y', vm: '1' }, { vm: '1', disk: 'a' }, { vm: '3' }, { none: '' }])
      assert.ok(!hasLabels(shared, labels), JSON.stringify(labels));
  });

  it('is in sight of a role that covers the labels of one of them, with the labels that it covers', () => {
    assert.ok(maySee(shared, asker({ team: 'y' })) && maySee(shared, asker({ team: 'x' })));
    assert.ok(!maySee(shared, asker({ team: 'z' })));
    assert.ok(!maySee(shared, asker({ team: 'x' }, ['/images'])));
    assert.deepEqual(shownTo(shared, asker({ team: 'y' })).labels, { team: 'y', vm: '2' });
    assert.deepEqual(shownTo(shared, asker({ team: 'x' })).labels, { team: 'x', vm: '1', disk: 'a' });
    assert.ok(!hasLabels(shownTo(shared, asker({ team: 'x' })), { vm: '2' }));
    assert.deepEqual(shownTo(shared, asker({})).labels, { team: 'x', vm: '1', disk: 'a' });
  });

  it('has each set of labels once, and 32 at most', () => {
    const operation = new LiveOperation(record(1, { waiters: [] }), Date.now, () => undefined);
    for (let n = 0; n < 100; n++) operation.shareWith({ n: String(Math.floor(n / 2)), same: 'yes' });
    operation.shareWith({ same: 'yes', n: '0' });
    const sets = operation.record.waiters?.map((labels) => labels['n']);
    assert.deepEqual(
      sets,
      Array.from({ length: 32 }, (_, n) => String(n)),
    );
  });
});
