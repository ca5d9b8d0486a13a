/** How the command shows one change of many operations. */
import assert from 'node:assert/strict';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { asAddress } from '../../../src/domain/model/address.js';
import { storeError } from '../../../src/domain/operations/record.js';
import { changeLine } from '../../../src/cli/commands/ops-commands.js';
import { changeOf } from '../../../src/handlers/operation-answers.js';
import { done, record } from '../../support/journals/records.js';

const lineOf = (change: Parameters<typeof record>[1]) => changeLine({ ...changeOf(record(1, change)), cursor: '' });

describe('a change of an operation in one line', () => {
  const begin = `1970-01-01T00:00:01.000Z ${record(1).id} CopyImage`;
  const own = { addresses: [asAddress('/a'), asAddress('/b')], labels: { vm: '1', disk: 'a' }, caller: 'me' };

  it('says how it goes, and whose it is', () => {
    assert.equal(lineOf({ ...own, labels: {} }), `${begin} queued by me /a /b`);
    const progress = { doneBytes: 1024n, totalBytes: 2048n, skippedBytes: 0n };
    assert.equal(
      lineOf({ ...own, state: 'RUNNING', progress }),
      `${begin} running 1.0 KiB of 2.0 KiB by me vm=1 disk=a /a /b`,
    );
  });

  it('says why it has failed, and with which warnings it has succeeded', () => {
    const error = storeError(new HostlerError('NO_SPACE', 'full'));
    assert.equal(lineOf({ ...own, state: 'FAILED', error }), `${begin} failed NO_SPACE by me vm=1 disk=a /a /b`);
    const warnings = [{ reason: 'SIZE_ROUNDED_UP', message: 'm' }] as const;
    assert.equal(
      lineOf({ ...own, ...done(1), ...own, warnings }),
      `${begin} succeeded (SIZE_ROUNDED_UP) by me vm=1 disk=a /a /b`,
    );
  });

  it('gives a terminal nothing to obey', () => {
    const odd = { caller: 'a\u001bb', labels: { 'k\n': 'v\r' }, addresses: [asAddress('/x\u0007')] };
    assert.equal(lineOf(odd), `${begin} queued by a\\x1bb k\\x0a=v\\x0d /x\\x07`);
  });
});
