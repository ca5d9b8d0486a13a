/**
 * What an operation that could not go on leaves for the next one, with the engine and real files.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { asAddress, type ImageAddress } from '../../../src/domain/model/address.js';
import { HostlerError, asHostlerError } from '../../../src/domain/model/errors.js';
import type { OperationRecord } from '../../../src/domain/operations/record.js';
import type { WriteResult } from '../../../src/domain/operations/results.js';
import type { Verb } from '../../../src/domain/operations/verb.js';
import { composeEngine, someCaller } from '../../support/engine.js';
import { scratchFolder } from '../../support/scratch.js';
import { procPath } from '../../../src/adapters/linux/proc-path.js';
import type { Reason } from '../../../src/domain/model/reasons/reasons.js';

interface PieceSpec {
  readonly source: string;
  readonly target: ImageAddress;
}

/** Appends a piece to its part each time, and fails after it, until there are three. */
function pieces(fails: () => Reason): Verb<PieceSpec, WriteResult> {
  return {
    name: 'Pieces',
    slot: () => 'io',
    uses: ({ target }) => [{ role: 'target', address: target, overwrite: false, allowDependants: false }],
    resume: { key: ({ source }) => source, after: ['SOURCE_UNAVAILABLE'], alone: () => true },
    async run({ target }, run) {
      const { part, checkpoint } = await run.resumablePart(target, { overwrite: false, attributes: {} });
      const came = Number(checkpoint?.['pieces'] ?? 0) + 1;
      appendFileSync(procPath(part), `piece ${String(came)}\n`);
      await run.checkpoint({ pieces: String(came) });
      if (came < 3) throw new HostlerError(fails(), 'the line broke');
      const made = await part.seal();
      const result: WriteResult = { kind: 'write', writtenBytes: made.lengthBytes };
      return run.commit('COMMITTING', { address: target, made, result }, () => part.publish());
    },
  };
}

describe('resume entries', () => {
  const scratch = scratchFolder();
  type Engine = Awaited<ReturnType<typeof composeEngine>>;
  const ask = { detach: false, planOnly: false, labels: { vm: '1' }, requestId: '' };
  const folder = (name: string) => scratch.path(name);
  const left = (name: string) => readdirSync(folder(name)).filter((each) => each.startsWith('.hostler-'));

  async function engine(name: string, limits = { ttlMs: 60_000, bytes: 1n << 40n }): Promise<Engine> {
    mkdirSync(folder(name));
    const made = await composeEngine(folder(name), () => Promise.resolve(), limits);
    scratch.onEnd(async () => {
      assert.deepEqual(made.failures, []);
      await made.close();
    });
    return made;
  }
  async function attempt(made: Engine, name: string, source = 'a', reason: Reason = 'SOURCE_UNAVAILABLE') {
    const spec = { source, target: asAddress(`${folder(name)}/target`) };
    let last: OperationRecord | undefined;
    try {
      for await (const record of made.operations.start(
        pieces(() => reason),
        spec,
        ask,
        someCaller,
      ))
        last = record;
      return { ended: 'SUCCEEDED', id: last?.id ?? '' };
    } catch (error) {
      return { ended: asHostlerError(error).reason, id: last?.id ?? '' };
    }
  }

  it('the same work goes on where it stopped, and nothing is left at its end', async () => {
    const made = await engine('goes-on');
    assert.equal((await attempt(made, 'goes-on')).ended, 'SOURCE_UNAVAILABLE');
    const second = await attempt(made, 'goes-on');
    assert.equal(second.ended, 'SOURCE_UNAVAILABLE');
    const [kept, ...others] = made.keptWork.entries;
    assert.equal(others.length, 0);
    assert.ok(kept !== undefined && kept.kept.bytes > 0n);
    assert.equal(kept.operationId, second.id);
    assert.deepEqual(left('goes-on'), [`.hostler-test-${second.id}`]);
    assert.equal((await attempt(made, 'goes-on')).ended, 'SUCCEEDED');
    assert.equal(readFileSync(`${folder('goes-on')}/target`, 'utf8'), 'piece 1\npiece 2\npiece 3\n');
    assert.deepEqual([left('goes-on'), made.keptWork.entries.length], [[], 0]);
  });

  it('other work on the same target begins at its beginning', async () => {
    const made = await engine('other');
    await attempt(made, 'other', 'a');
    await attempt(made, 'other', 'b');
    const came = made.keptWork.entries.map(({ checkpoint }) => checkpoint['pieces']);
    assert.deepEqual(came, ['1', '1']);
    assert.equal(left('other').length, 2);
  });

  it('a failure that is not the line keeps nothing', async () => {
    const made = await engine('fatal');
    assert.equal((await attempt(made, 'fatal', 'a', 'CHECKSUM_MISMATCH')).ended, 'CHECKSUM_MISMATCH');
    assert.deepEqual([left('fatal'), made.keptWork.entries.length], [[], 0]);
    // Nor does it when an attempt before it had kept something.
    await attempt(made, 'fatal');
    await attempt(made, 'fatal', 'a', 'CHECKSUM_MISMATCH');
    assert.deepEqual([left('fatal'), made.keptWork.entries.length], [[], 0]);
  });

  it('is removed on demand, and says what was removed', async () => {
    const made = await engine('dropped');
    const { id } = await attempt(made, 'dropped');
    const [entry] = made.keptWork.entries;
    assert.ok(entry !== undefined);
    const path = `${folder('dropped')}/.hostler-test-${id}`;
    assert.deepEqual(await made.keptWork.drop(entry), [`${path}/part`, path]);
    assert.ok(!existsSync(path));
    assert.equal(made.keptWork.entries.length, 0);
  });

  it('goes when it is too old', async () => {
    const made = await engine('old', { ttlMs: 0, bytes: 1n << 40n });
    await attempt(made, 'old');
    assert.equal((await made.keptWork.expire(() => assert.fail())).length, 2);
    assert.deepEqual([left('old'), made.keptWork.entries.length], [[], 0]);
  });

  it('the oldest goes when there is too much', async () => {
    const made = await engine('much', { ttlMs: 60_000, bytes: 4096n });
    await attempt(made, 'much', 'a');
    const second = await attempt(made, 'much', 'b');
    await made.keptWork.expire(() => assert.fail());
    assert.deepEqual(left('much'), [`.hostler-test-${second.id}`]);
  });
});
