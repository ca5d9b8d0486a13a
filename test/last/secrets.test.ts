/** Runs after everything else: what all daemons of this run have logged, looked through for the secrets that they were given. */
import assert from 'node:assert/strict';
import { needs } from '../support/needs.js';
import { noteSecrets, searchLog, searched } from '../support/secrets.js';

describe('after the whole run', () => {
  it('no log, and no audit log, holds a secret that a test gave to a daemon', function () {
    const { leaks, logs, secrets } = searched();
    needs(this, logs > 0 && secrets > 0, 'no test that gives secrets has run before it');
    process.stdout.write(`    ${String(logs)} logs looked through for ${String(secrets)} secrets\n`);
    assert.deepEqual(leaks, []);
  });

  it('and one would have been found', () => {
    noteSecrets({ encryption: { passphrase: Buffer.from('made up for this test') } });
    const before = searched().leaks.length;
    searchLog('a log', `{"argument":"${Buffer.from('made up for this test').toString('base64')}"}`);
    assert.equal(searched().leaks.length, before + 1);
  });
});
