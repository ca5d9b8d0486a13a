/** Reservations: one line a filesystem, and no wait without an end. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { SpaceLedger, type SpaceRequest } from '../../../src/domain/operations/resources/space.js';
import { deferred } from '../../../src/domain/model/async.js';

const never = new AbortController().signal;
const hangs = () => new Promise<never>(() => undefined);

function request(filesystem: string, needBytes: bigint, more: Partial<SpaceRequest> = {}): SpaceRequest {
  return {
    filesystem,
    path: `/${filesystem}/x`,
    needBytes,
    takenBytes: () => Promise.resolve(0n),
    freeBytes: () => Promise.resolve(100n),
    ...more,
  };
}

describe('SpaceLedger', () => {
  it('jobs that fit one at a time but not together do not both begin, and get the space when it is given back', async () => {
    const ledger = new SpaceLedger(10n, 1000);
    const ends = await Promise.allSettled([60n, 60n, 20n].map((need) => ledger.reserve(request('a', need), never)));
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.equal(await ledger.reservedBytes({ filesystem: 'a', path: '/a' }, never), 80n);
    for (const end of ends) if (end.status === 'fulfilled') end.value();
    await ledger.reserve(request('a', 90n), never);
  });

  it('a filesystem that does not answer is ROOT_STALLED for who asks, at once for the next, and nothing for others', async () => {
    const ledger = new SpaceLedger(0n, 50);
    const free = deferred<bigint>();
    const first = ledger.reserve(request('hung', 1n, { freeBytes: () => free.promise }), never);
    const second = ledger.reserve(request('hung', 1n), never);
    for (const other of ['a', 'b', 'c']) await ledger.reserve(request(other, 1n), never);
    await assert.rejects(first, { reason: 'ROOT_STALLED' });
    await assert.rejects(second, { reason: 'ROOT_STALLED' });
    let asked = 0;
    const third = request('hung', 1n, { freeBytes: () => ((asked += 1), hangs()) });
    await assert.rejects(ledger.reserve(third, never), { reason: 'ROOT_STALLED' });
    await assert.rejects(ledger.reservedBytes({ filesystem: 'hung', path: '/hung' }, never), {
      reason: 'ROOT_STALLED',
    });
    assert.equal(asked, 0, 'a filesystem that hangs is asked by one only');
    assert.equal(await ledger.reservedBytes({ filesystem: 'a', path: '/a' }, never), 1n);
    // It answers again.
    free.resolve(100n);
    for (let turns = 0; turns < 5; turns++) await turn();
    await ledger.reserve(request('hung', 1n), never);
    assert.equal(
      await ledger.reservedBytes({ filesystem: 'hung', path: '/hung' }, never),
      1n,
      'a late answer reserves nothing',
    );
  });

  it('ends with its signal, also in the queue, and holds up nobody behind it', async () => {
    const ledger = new SpaceLedger(0n, 60_000);
    const free = deferred<bigint>();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = ledger.reserve(request('a', 50n, { freeBytes: () => free.promise }), one.signal);
    const second = ledger.reserve(request('a', 50n), two.signal);
    const third = ledger.reserve(request('a', 100n), never);
    two.abort(new HostlerError('CANCELLED', 'x'));
    await assert.rejects(second, { reason: 'CANCELLED' });
    one.abort(new HostlerError('CALLER_DEADLINE', 'x'));
    await assert.rejects(first, { reason: 'CALLER_DEADLINE' });
    free.resolve(100n);
    await third;
    assert.equal(ledger.size, 1);
  });

  it('what another has taken and cannot be measured counts as nothing taken; what is free and cannot be known is an error', async () => {
    const ledger = new SpaceLedger(0n, 1000);
    const broken = () => Promise.reject(new HostlerError('IO_ERROR', 'x'));
    await ledger.reserve(request('a', 60n, { takenBytes: broken }), never);
    await assert.rejects(ledger.reserve(request('a', 50n), never), { reason: 'NO_SPACE' });
    await ledger.reserve(request('a', 40n), never);
    await assert.rejects(ledger.reserve(request('a', 1n, { freeBytes: broken }), never), { reason: 'IO_ERROR' });
    await ledger.reserve(request('b', 1n), never);
  });

  it('what one has taken already it does not need any more', async () => {
    const ledger = new SpaceLedger(10n, 1000);
    const taken = (bytes: bigint) => ({ takenBytes: () => Promise.resolve(bytes) });
    await assert.rejects(ledger.reserve(request('a', 150n, taken(59n)), never), { reason: 'NO_SPACE' });
    await ledger.reserve(request('a', 150n, taken(60n)), never);
    assert.equal(await ledger.reservedBytes({ filesystem: 'a', path: '/a' }, never), 90n);
    await assert.rejects(ledger.reserve(request('a', 1n), never), { reason: 'NO_SPACE' });
  });

  it('one that hangs while it measures what another took', async () => {
    const ledger = new SpaceLedger(0n, 50);
    let hung = false;
    const takenBytes = () => (hung ? hangs() : Promise.resolve(0n));
    await ledger.reserve(request('a', 10n, { takenBytes }), never);
    hung = true;
    await assert.rejects(ledger.reserve(request('a', 10n), never), { reason: 'ROOT_STALLED' });
    await ledger.reserve(request('b', 10n), never);
  });
});
