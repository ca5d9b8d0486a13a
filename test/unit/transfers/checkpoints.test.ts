/** Checkpoints beside a transfer: durable before they are said, one at a time, no failure is lost. */
import assert from 'node:assert/strict';
import { HostlerError } from '../../../src/domain/model/errors.js';
import type { Checkpoint } from '../../../src/domain/operations/recovery/resume-entries.js';
import { Checkpoints, positionOf, type Position } from '../../../src/domain/transfer/checkpoints.js';
import { stateOf, turns } from '../../support/event-loop.js';
import { SlowFile } from './slow-file.js';

const MIB = 1n << 20n;
const lost = new HostlerError('IO_ERROR', 'a write that the system tells of once');

describe('Checkpoints', () => {
  let file: SlowFile;
  let said: Checkpoint[];
  let checkpoints: Checkpoints;
  beforeEach(() => {
    file = new SlowFile();
    said = [];
    const checkpoint = (each: Checkpoint) => Promise.resolve(said.push(each)).then(() => undefined);
    checkpoints = new Checkpoints(file, { operationId: 'A', checkpoint }, 0n);
  });
  const at = (offset: bigint, more: Partial<Position> = {}) => ({ offset, totalBytes: 40n * MIB, ...more });
  const offsets = () => said.map(({ offset }) => offset);

  it('nothing is said before it is durable', async () => {
    checkpoints.reached(at(MIB));
    await turns();
    assert.deepEqual([file.at(0).what, offsets()], ['sync', []]);
    file.at(0).resolve(undefined);
    await checkpoints.settled();
    assert.deepEqual(offsets(), [String(MIB)]);
  });

  for (const [title, totalBytes, step] of [
    ['a fortieth of the transfer', 400n * MIB, 10n * MIB],
    ['a MiB at least', 4n * MIB, MIB],
    ['64 MiB at most', 1_000_000n * MIB, 64n * MIB],
    ['16 MiB where nobody knows the length', undefined, 16n * MIB],
  ] as const)
    it(`come after ${title}`, async () => {
      const position = (offset: bigint) => ({ offset, ...(totalBytes === undefined ? {} : { totalBytes }) });
      checkpoints.reached(position(step - 1n));
      await turns();
      assert.equal(file.asked.length, 0);
      checkpoints.reached(position(step));
      file.at(0).resolve(undefined);
      await checkpoints.settled();
      checkpoints.reached(position(2n * step - 1n));
      await turns();
      assert.equal(file.asked.length, 1);
      checkpoints.reached(position(2n * step));
      file.at(1).resolve(undefined);
      await checkpoints.settled();
    });

  it('one at a time: what is reached meanwhile holds up nobody, and is left out', async () => {
    for (const n of [1n, 2n, 3n]) checkpoints.reached(at(n * MIB));
    await turns();
    assert.equal(file.asked.length, 1);
    file.at(0).resolve(undefined);
    await checkpoints.settled();
    assert.deepEqual(offsets(), [String(MIB)]);
    checkpoints.reached(at(4n * MIB));
    file.at(1).resolve(undefined);
    await checkpoints.settled();
    assert.deepEqual(offsets(), [String(MIB), String(4n * MIB)]);
  });

  it('one that is wanted now waits for the one under way, and comes after it', async () => {
    checkpoints.reached(at(MIB));
    const now = checkpoints.now(at(MIB + 1n));
    assert.equal(await stateOf(now), 'waits');
    assert.equal(file.asked.length, 1);
    file.at(0).resolve(undefined);
    await turns();
    file.at(1).resolve(undefined);
    await now;
    assert.deepEqual(offsets(), [String(MIB), String(MIB + 1n)]);
  });

  it('a failure is thrown at whoever reaches or wants one next, and nothing is said any more', async () => {
    checkpoints.reached(at(MIB));
    file.at(0).reject(lost);
    // Not here: whoever settles wants the end, not the outcome.
    await checkpoints.settled();
    assert.throws(() => {
      checkpoints.reached(at(2n * MIB));
    }, lost);
    await assert.rejects(checkpoints.now(at(2n * MIB)), lost);
    assert.deepEqual([file.asked.length, offsets()], [1, []]);
  });

  it('a failure while one is wanted now is its own', async () => {
    const now = checkpoints.now(at(1n));
    await turns();
    file.at(0).reject(lost);
    await assert.rejects(now, lost);
  });

  it('a new beginning waits for the one under way, and counts from zero', async () => {
    checkpoints.reached(at(8n * MIB));
    const restarted = checkpoints.restart();
    assert.equal(await stateOf(restarted), 'waits');
    file.at(0).resolve(undefined);
    await restarted;
    checkpoints.reached(at(MIB));
    file.at(1).resolve(undefined);
    await checkpoints.settled();
    assert.deepEqual(offsets(), [String(8n * MIB), String(MIB)]);
  });

  it('what is said is what is read again', async () => {
    const position = { ...at(5n), validator: '"a"', freshness: 'b', zeroBytes: 3n, guarded: false };
    const now = checkpoints.now(position);
    await turns();
    file.at(0).resolve(undefined);
    await now;
    assert.deepEqual(said.map(positionOf), [{ ...position, operationId: 'A' }]);
  });
});
