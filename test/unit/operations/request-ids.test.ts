/** One request id, one operation: whoever comes at whatever moment. */
import assert from 'node:assert/strict';
import { NOBODY } from '../../../src/domain/access/caller.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import type { RequestKey } from '../../../src/domain/operations/journal.js';
import { LiveOperation } from '../../../src/domain/operations/live-operation.js';
import type { OperationRecord } from '../../../src/domain/operations/record.js';
import { RequestIds, requestKeyOf } from '../../../src/domain/operations/request-ids.js';
import { stateOf, turns } from '../../support/event-loop.js';
import { done, record } from '../../support/journals/records.js';

const SPEC = { path: '/a', size: 1n };
const gone = new HostlerError('CANCELLED', 'its caller has gone');

describe('RequestIds', () => {
  let live: Map<string, LiveOperation>;
  let earlier: OperationRecord | undefined;
  let asked: RequestKey[];
  let ids: RequestIds;
  beforeEach(() => {
    live = new Map();
    earlier = undefined;
    asked = [];
    ids = new RequestIds({ findRequest: (key) => (asked.push(key), Promise.resolve(earlier)) }, live);
  });
  const operation = (change: Partial<OperationRecord> = {}) =>
    new LiveOperation(
      record(1, change),
      () => 1,
      () => undefined,
    );
  /** Admissions in the order in which they began; each ends when the test says so. */
  const admissions = () => {
    const begun: (PromiseWithResolvers<LiveOperation> & { readonly attempt: number })[] = [];
    const begin = (attempt: number) => {
      const admission = { ...Promise.withResolvers<LiveOperation>(), attempt };
      begun.push(admission);
      return admission.promise;
    };
    return { begun, begin };
  };
  type Begin = (attempt: number) => Promise<LiveOperation>;
  const once = (begin: Begin, { spec = SPEC, requestId = 'r', identity = 'me', signal = NOBODY.signal } = {}) =>
    ids.once('CreateImage', spec, { requestId }, { ...NOBODY, identity, signal }, begin);

  it('calls of the same moment share one admission', async () => {
    const { begun, begin } = admissions();
    const calls = Array.from({ length: 50 }, () => once(begin));
    await turns();
    assert.deepEqual([begun.length, begun[0]?.attempt, asked.length], [1, 1, 1]);
    const started = operation();
    begun[0]?.resolve(started);
    for (const each of await Promise.all(calls)) assert.equal(each, started);
  });

  it('other callers, other ids, and calls without an id have admissions of their own', async () => {
    const { begun, begin } = admissions();
    const calls = [once(begin), once(begin, { identity: 'you' }), once(begin, { requestId: 's' })];
    for (let n = 0; n < 2; n++) calls.push(once(begin, { requestId: '' }));
    await turns();
    assert.equal(begun.length, 5);
    assert.deepEqual(
      asked.map(({ caller, requestId }) => `${caller} ${requestId}`),
      ['me r', 'you r', 'me s'],
    );
    for (const { resolve } of begun) resolve(operation());
    assert.equal(new Set(await Promise.all(calls)).size, 5);
  });

  it('other arguments are refused: beside an admission, a live operation, and one that has ended', async () => {
    const { begun, begin } = admissions();
    const first = once(begin);
    await turns();
    const other = () => once(begin, { spec: { ...SPEC, path: '/b' } });
    await assert.rejects(other(), { reason: 'REQUEST_ID_REUSED' });
    begun[0]?.resolve(operation());
    await first;
    for (const found of [record(1, { spec: SPEC }), done(1, { spec: SPEC })]) {
      earlier = found;
      await assert.rejects(other(), { reason: 'REQUEST_ID_REUSED' });
    }
    assert.equal(begun.length, 1);
  });

  it('arguments are the same whatever the order of their fields', async () => {
    earlier = done(1, { spec: { size: 1n, path: '/a' } });
    assert.equal(await once(admissions().begin), earlier);
  });

  it('when the first caller goes, one who waits begins, and the others wait for that one', async () => {
    const { begun, begin } = admissions();
    const first = once(begin);
    const others = [once(begin), once(begin), once(begin)];
    await turns();
    begun[0]?.reject(gone);
    await assert.rejects(first, { reason: 'CANCELLED' });
    await turns();
    assert.equal(begun.length, 2);
    const started = operation();
    begun[1]?.resolve(started);
    for (const each of await Promise.all(others)) assert.equal(each, started);
  });

  it('one who waits and has gone too begins nothing', async () => {
    const { begun, begin } = admissions();
    const leaver = new AbortController();
    const first = once(begin);
    const second = once(begin, { signal: leaver.signal });
    await turns();
    leaver.abort(gone);
    begun[0]?.reject(gone);
    for (const each of [first, second]) await assert.rejects(each, { reason: 'CANCELLED' });
    await turns();
    assert.equal(begun.length, 1);
  });

  it('an admission that is refused is refused to all who waited for it; a later call tries again', async () => {
    const { begun, begin } = admissions();
    const calls = [once(begin), once(begin)];
    await turns();
    begun[0]?.reject(new HostlerError('TOO_MANY_OPERATIONS', 'x'));
    for (const call of calls) await assert.rejects(call, { reason: 'TOO_MANY_OPERATIONS' });
    const later = once(begin);
    await turns();
    begun[1]?.resolve(operation());
    await later;
  });

  it('a live operation is attached to, one that is being cancelled is waited for', async () => {
    const { begun, begin } = admissions();
    const running = operation({ spec: SPEC, state: 'RUNNING' });
    earlier = running.record;
    live.set(earlier.id, running);
    assert.equal(await once(begin), running);
    running.cancel(gone);
    assert.equal(running.record.state, 'CANCELLING');
    const next = once(begin);
    assert.equal(await stateOf(next), 'waits');
    assert.equal(begun.length, 0);
    running.finish(running.ended({ state: 'CANCELLED' }));
    await turns();
    assert.equal(begun[0]?.attempt, 2);
    begun[0].resolve(operation());
    await next;
  });

  it('what has succeeded is given again, what has failed or was cancelled is tried again', async () => {
    for (const state of ['FAILED', 'CANCELLED'] as const) {
      const { begun, begin } = admissions();
      earlier = done(1, { spec: SPEC, state, attempt: 3 });
      const again = once(begin);
      await turns();
      assert.equal(begun[0]?.attempt, 4, state);
      begun[0].resolve(operation());
      await again;
    }
  });
});

describe('requestKeyOf', () => {
  it('is the same for all attempts of one caller at one request, and of nobody else', () => {
    const key = (id: string, caller: string, requestId?: string) =>
      requestKeyOf({ id, caller, ...(requestId === undefined ? {} : { requestId }) });
    assert.equal(key('1', 'me', 'r'), key('2', 'me', 'r'));
    assert.equal(new Set([key('1', 'me', 'r'), key('1', 'you', 'r'), key('1', 'me', 's'), key('1', 'me')]).size, 4);
    assert.equal(key('1', 'me'), '1');
    // Neither name runs into the other.
    assert.notEqual(key('1', 'a', 'bc'), key('1', 'ab', 'c'));
  });
});
