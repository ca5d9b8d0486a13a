import assert from 'node:assert/strict';
import { Slots } from '../../../src/domain/operations/resources/slots.js';

const never = new AbortController().signal;

describe('places of what waits for other hosts', () => {
  it('what waits for other hosts leaves some to what needs nobody, whoever asks', async () => {
    const running = { io: 4, none: 1, export: 1, open: 1, upload: 1, plan: 2 };
    const slots = new Slots({
      running,
      perFilesystem: 2,
      callersPart: 0.75,
      queued: 20,
      queuedPerCaller: 20,
    });
    const at: string[] = [];
    const enter = (caller: string, filesystem: string, far: boolean) => {
      const ticket = slots.enter({ slot: 'io', filesystems: [filesystem], caller, far }, () => undefined);
      void ticket.granted(never).then(() => at.push(`${caller} ${filesystem}`));
      return ticket;
    };
    // Of two on one filesystem one is for local work, and of four in all one.
    const first = enter('a', 'x', true);
    enter('b', 'x', true);
    enter('c', 'y', true);
    enter('d', 'z', true);
    enter('e', 'w', true);
    await new Promise(setImmediate);
    assert.deepEqual(at.splice(0), ['a x', 'c y', 'd z']);
    enter('f', 'x', false);
    await new Promise(setImmediate);
    assert.deepEqual(at.splice(0), ['f x']);
    first.release();
    await new Promise(setImmediate);
    assert.deepEqual(at, ['b x']);
  });

  for (const [io, perFilesystem, callersPart, most] of [
    [8, 4, 0.75, 2],
    [8, 8, 0.75, 5],
    [4, 4, 0.5, 1],
    [8, 4, 1, 4],
    [2, 2, 0.75, 1],
  ] as const)
    it(`of ${String(perFilesystem)} on one filesystem and ${String(io)} in all one caller's slow servers leave some`, async () => {
      const running = { io, none: 1, export: 1, open: 1, upload: 1, plan: 2 };
      const slots = new Slots({ running, perFilesystem, callersPart, queued: 50, queuedPerCaller: 50 });
      const at: string[] = [];
      const enter = (caller: string, filesystem: string) => {
        const ticket = slots.enter({ slot: 'io', filesystems: [filesystem], caller, far: true }, () => undefined);
        void ticket.granted(never).then(() => at.push(caller));
      };
      for (let n = 0; n < 10; n++) enter('a', 'x');
      enter('b', 'x');
      await new Promise(setImmediate);
      assert.equal(at.filter((caller) => caller === 'a').length, most);
      // Of one place for all nobody can have a part, nor of all that one caller may have.
      assert.equal(at.includes('b'), callersPart < 1 && perFilesystem > 2);
    });

  for (const [plan, far, all] of [
    [2, 1, 2],
    [4, 3, 4],
    [8, 6, 8],
  ] as const)
    it(`of ${String(plan)} plans at a time ${String(far)} ask other hosts`, async () => {
      const running = { io: 1, none: 1, export: 1, open: 1, upload: 1, plan };
      const slots = new Slots({ running, perFilesystem: 1, callersPart: 0.75, queued: 50, queuedPerCaller: 50 });
      const at: boolean[] = [];
      const enter = (caller: string, isFar: boolean) => {
        const ticket = slots.enter({ slot: 'plan', filesystems: [], caller, far: isFar }, () => undefined);
        void ticket.granted(never).then(() => at.push(isFar));
      };
      for (let n = 0; n < 10; n++) enter(`far ${String(n)}`, true);
      await new Promise(setImmediate);
      assert.equal(at.length, far);
      for (let n = 0; n < 10; n++) enter(`near ${String(n)}`, false);
      await new Promise(setImmediate);
      assert.equal(at.length, all);
    });

  it('nothing waits behind an upload but one that resumes', async () => {
    const slots = new Slots({
      running: { io: 1, none: 1, export: 1, open: 1, upload: 1, plan: 1 },
      ...{ perFilesystem: 1, callersPart: 1, queued: 2, queuedPerCaller: 2 },
    });
    const upload = (caller: string, standing: boolean) =>
      slots.enter({ slot: 'upload', filesystems: [], caller, standing }, () => undefined);
    const first = upload('a', true);
    assert.throws(() => upload('a', true), { reason: 'CALLER_AT_LIMIT' });
    assert.throws(() => upload('b', true), { reason: 'TOO_MANY_OPERATIONS' });
    const resumed = upload('b', false);
    await slots.enter({ slot: 'open', filesystems: [], caller: 'c' }, () => undefined).granted(never);
    assert.deepEqual([slots.running, slots.waiting], [2, 1]);
    first.release();
    await resumed.granted(never);
  });
});
