/** What looks for secrets in logs finds them: test/support/secrets.ts. */
import assert from 'node:assert/strict';
import { leaksIn, noteSecrets } from '../../support/secrets.js';

describe('the search for secrets in logs', () => {
  const secret = 'made up for this test';
  before(() => noteSecrets({ encryption: { passphrase: Buffer.from(secret) } }));

  for (const encoding of ['utf8', 'base64', 'hex'] as const)
    it(`finds one as ${encoding}`, () => {
      const log = `{"argument":"${Buffer.from(secret).toString(encoding)}"}`;
      assert.deepEqual(leaksIn('a log', log), ['a log: ma…']);
    });

  it('finds none where there is none', () => {
    assert.deepEqual(leaksIn('a log', '{"argument":"made up for another test"}'), []);
  });
});
