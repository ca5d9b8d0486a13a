import assert from 'node:assert/strict';
import { HostlerError, invalidFields } from '../../../src/domain/model/errors.js';
import { Status } from '../../../src/gen/google/rpc/status.js';
import { toStatus } from '../../../src/handlers/status.js';
import { wireError } from '../../../src/server/service-call.js';
import { REASONS } from '../../../src/domain/model/reasons/reasons.js';

describe('the error mapper', () => {
  it('keeps every status below 4 KiB, whatever is in it', () => {
    const facts = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`fact${String(n)}`, 'ü'.repeat(5000)]));
    const violations = Array.from({ length: 100 }, (_, n) => ({
      field: `f${String(n)}`,
      description: 'ü'.repeat(1000),
    }));
    const error = new HostlerError('NO_SPACE', 'ü'.repeat(10_000), {
      facts: { path: 'p'.repeat(4095), ...facts },
      violations,
      retryAfterMs: 1500,
    });
    assert.ok(Status.encode(toStatus(error)).finish().length < 4096);
    assert.doesNotMatch(toStatus(error).message, /\uFFFD/);
  });
  it('never sends the cause', () => {
    const { metadata, details } = wireError(new HostlerError('BUG', 'internal', { cause: new Error('the secret') }));
    assert.ok(!JSON.stringify([metadata.getMap(), details]).includes('the secret'));
  });
  it('knows every reason', () => {
    for (const reason of Object.keys(REASONS) as (keyof typeof REASONS)[])
      assert.ok(toStatus(new HostlerError(reason, 'x')).code > 0, reason);
  });
  it('reports wrong fields', () => {
    const types = toStatus(invalidFields([{ field: 'path', description: 'x' }])).details.map(({ typeUrl }) =>
      typeUrl.split('.').at(-1),
    );
    assert.deepEqual(types, ['ErrorInfo', 'BadRequest']);
  });
});
