/** What operations keep open: whoever comes before, at, or after that moment finds it, or an end. */
import assert from 'node:assert/strict';
import { NOBODY } from '../../../src/domain/access/caller.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { OpenSessions, untilIdle } from '../../../src/domain/operations/open-sessions.js';
import type { OperationRecord } from '../../../src/domain/operations/record.js';
import { stateOf, turns } from '../../support/event-loop.js';
import { done, record } from '../../support/journals/records.js';

const never = new AbortController().signal;
const hangs = () => new Promise<never>(() => undefined);
const cancelled = new HostlerError('CANCELLED', 'enough');

describe('OpenSessions', () => {
  let sessions: OpenSessions<string>;
  beforeEach(() => (sessions = new OpenSessions()));

  it('an item is there for as long as its verb takes, however that ends', async () => {
    const [good, bad] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const kept = [sessions.keep('a', 'x', () => good.promise), sessions.keep('b', 'y', () => bad.promise)];
    assert.deepEqual(sessions.all, [
      ['a', 'x'],
      ['b', 'y'],
    ]);
    good.resolve(1);
    bad.reject(cancelled);
    const ends = await Promise.allSettled(kept);
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual([sessions.get('a'), sessions.get('b'), sessions.all], [undefined, undefined, []]);
  });

  it('all who came before get the item at once, and one who comes after it too', async () => {
    const early = [1, 2, 3].map(() => sessions.opened('a', hangs(), never));
    const other = sessions.opened('b', hangs(), never);
    assert.equal(await stateOf(Promise.any(early)), 'waits');
    void sessions.keep('a', 'x', hangs);
    assert.deepEqual(await Promise.all(early), ['x', 'x', 'x']);
    assert.equal(await sessions.opened('a', hangs(), never), 'x');
    assert.equal(await stateOf(other), 'waits');
  });

  it('who waits for an operation that ends before gets nothing, or its failure', async () => {
    const [ended, failed] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const waiting = [sessions.opened('a', ended.promise, never), sessions.opened('a', failed.promise, never)];
    ended.resolve(undefined);
    assert.equal(await waiting[0], undefined);
    failed.reject(new HostlerError('NO_SPACE', 'x'));
    await assert.rejects(waiting[1] ?? hangs(), { reason: 'NO_SPACE' });
  });

  it('one who leaves takes nobody along', async () => {
    const leaver = new AbortController();
    const [leaving, staying] = [sessions.opened('a', hangs(), leaver.signal), sessions.opened('a', hangs(), never)];
    leaver.abort(cancelled);
    await assert.rejects(leaving, { reason: 'CANCELLED' });
    await assert.rejects(sessions.opened('a', hangs(), leaver.signal), { reason: 'CANCELLED' });
    void sessions.keep('a', 'x', hangs);
    assert.equal(await staying, 'x');
  });

  describe('a start', () => {
    const caller = { ...NOBODY, identity: 'me' };
    /** Records of an operation; the last one comes when the test says so. */
    const operation = (last: Promise<OperationRecord>, heard: AbortSignal[] = []) =>
      async function* ({ signal }: { readonly signal: AbortSignal }) {
        heard.push(signal);
        yield record(1);
        yield await last;
      };

    it('ends with the item, and lets the operation go on without its caller', async () => {
      const heard: AbortSignal[] = [];
      const started = sessions.start(operation(hangs(), heard), caller);
      assert.equal(await stateOf(started), 'waits');
      void sessions.keep(record(1).id, 'x', hangs);
      assert.deepEqual(await started, { id: record(1).id, item: 'x' });
      assert.equal(heard[0]?.aborted, true);
    });

    it('of one that has succeeded already ends with its record', async () => {
      const started = await sessions.start(operation(Promise.resolve(done(1))), caller);
      assert.deepEqual(started, { id: record(1).id, ended: done(1) });
    });

    it('fails as the operation does, and with the reason of a caller that goes', async () => {
      const failing = sessions.start(operation(Promise.reject(new HostlerError('TARGET_EXISTS', 'x'))), caller);
      await assert.rejects(failing, { reason: 'TARGET_EXISTS' });
      const leaver = new AbortController();
      const leaving = sessions.start(operation(hangs()), { ...caller, signal: leaver.signal });
      await turns();
      leaver.abort(cancelled);
      await assert.rejects(leaving, { reason: 'CANCELLED' });
    });
  });
});

describe('untilIdle', () => {
  it('ends with the work, with the signal, and with EXPIRED when nobody came for so long', async () => {
    let now = 0;
    const clock = () => now;
    const wait = (done: Promise<number>, expires: number, signal = never) =>
      untilIdle(done, () => expires, clock, signal, 'it');
    assert.equal(await wait(Promise.resolve(1), 1000), 1);
    const stop = new AbortController();
    const stopped = wait(hangs(), 1e12, stop.signal);
    stop.abort(cancelled);
    await assert.rejects(stopped, { reason: 'CANCELLED' });
    now = 1000;
    await assert.rejects(wait(hangs(), 1000), { reason: 'EXPIRED' });
  });

  it('whoever comes meanwhile puts the end off', async () => {
    let [now, expires, looks] = [0, 1, 0];
    const clock = () => {
      // Somebody has come twice before each look, and then nobody any more.
      looks += 1;
      if (looks < 4) expires += 1;
      return now++;
    };
    await assert.rejects(
      untilIdle(hangs(), () => expires, clock, never, 'it'),
      { reason: 'EXPIRED' },
    );
    assert.ok(looks > 4, String(looks));
  });
});
