/** Plans take places like operations: so many at a time, of one caller, and in the queue. */
import assert from 'node:assert/strict';
import type { Caller } from '../../../src/domain/access/caller.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { deferred, type Deferred } from '../../../src/domain/model/async.js';
import type { Plan } from '../../../src/domain/operations/results.js';
import type { Verb } from '../../../src/domain/operations/verb.js';
import { checkEach } from '../../support/check-each.js';
import { composeEngine, someCaller } from '../../support/engine.js';
import { scratchFolder } from '../../support/scratch.js';
import { until } from '../../support/until.js';

const ASK = { detach: false, planOnly: true, labels: {}, requestId: '' };
const PLAN: Plan = { kind: 'plan', method: 'look', why: 'it is asked for', needBytes: 0n };
/** What the engine of these tests has. */
const [PLACES, QUEUED] = [2, 16];

interface Work {
  readonly name: string;
  /** Lets the plan end. */
  readonly end: Deferred<void>;
}

describe('plans', () => {
  const scratch = scratchFolder();
  let engine: Awaited<ReturnType<typeof composeEngine>>;
  const atWork: string[] = [];
  const begun: Work[] = [];

  const verb = (): Verb<Work, Plan> => ({
    name: 'Look',
    slot: () => 'io',
    uses: () => [],
    async plan({ name, end }) {
      atWork.push(name);
      await end.promise.finally(() => atWork.splice(atWork.indexOf(name), 1));
      return PLAN;
    },
    run: () => Promise.reject(new Error('a plan runs nothing')),
  });
  const begin = (name: string, caller: Partial<Caller> = {}) => {
    const end = deferred();
    const work = { name, end };
    begun.push(work);
    const records = engine.operations.start(verb(), work, ASK, { ...someCaller, ...caller });
    const answer = records.next().then(({ value }) => value?.result);
    answer.catch(() => undefined); // the test awaits it below
    return {
      answer,
      end: () => {
        end.resolve();
      },
    };
  };
  /** All places are taken, and so many plans wait. */
  const waiting = (number: number) => until(() => engine.slots.waiting === number && atWork.length === PLACES);

  before(async () => {
    engine = await composeEngine(scratch.path(), () => Promise.resolve());
  });
  afterEach(() => {
    for (const { end } of begun.splice(0)) end.resolve();
  });
  after(() => engine.close());
  checkEach(async () => {
    await until(() => engine.slots.waiting + engine.slots.running === 0);
    assert.deepEqual([atWork, engine.failures], [[], []]);
  });

  it('at most so many are at work; the others wait, and all are answered', async () => {
    const plans = Array.from({ length: PLACES + QUEUED }, (_, n) => begin(String(n)));
    await waiting(QUEUED);
    for (const { end, answer } of plans) {
      end();
      assert.deepEqual(await answer, PLAN);
      assert.ok(atWork.length <= PLACES, atWork.join());
    }
  });

  it('a full queue refuses one more, with a time to wait', async () => {
    const plans = Array.from({ length: PLACES + QUEUED }, (_, n) => begin(String(n)));
    await waiting(QUEUED);
    await assert.rejects(begin('one more').answer, { reason: 'TOO_MANY_OPERATIONS', retryAfterMs: 2000 });
    for (const { end } of plans) end();
    await Promise.all(plans.map(({ answer }) => answer));
  });

  it('a caller that goes leaves the queue', async () => {
    const plans = [begin('first'), begin('second')];
    const gone = new AbortController();
    const third = begin('third', { signal: gone.signal });
    await waiting(1);
    gone.abort(new HostlerError('CANCELLED', 'the caller has gone'));
    await assert.rejects(third.answer, { reason: 'CANCELLED' });
    for (const { end } of plans) end();
    await Promise.all(plans.map(({ answer }) => answer));
  });

  it('a plan that fails gives its place back', async () => {
    const failing: Verb<Work, Plan> = {
      ...verb(),
      plan: () => Promise.reject(new HostlerError('IO_ERROR', 'it broke')),
    };
    const end = deferred();
    for (let n = 0; n <= PLACES; n++) {
      const records = engine.operations.start(failing, { name: '', end }, ASK, someCaller);
      await assert.rejects(records.next(), { reason: 'IO_ERROR' });
    }
  });
});
