/**
 * What fails after the point of no return is a warning: the operation has succeeded. With the
 * engine and real files.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { asAddress, type ImageAddress } from '../../src/domain/model/address.js';
import { deleteImage } from '../../src/domain/verbs/delete-image.js';
import { HostlerError, asHostlerError } from '../../src/domain/model/errors.js';
import type { OperationRecord } from '../../src/domain/operations/record.js';
import type { WriteResult } from '../../src/domain/operations/results.js';
import type { Run, Verb } from '../../src/domain/operations/verb.js';
import { composeEngine, someCaller } from '../support/engine.js';
import { scratchFolder } from '../support/scratch.js';
import { procPath } from '../../src/adapters/linux/proc-path.js';
import type { StagedImage } from '../../src/domain/ports/targets.js';

interface Spec {
  readonly target: ImageAddress;
  readonly overwrite: boolean;
}

const RESULT: WriteResult = { kind: 'write', writtenBytes: 3n };
const broken = () => new HostlerError('IO_ERROR', 'the disk failed');
const ask = { detach: false, planOnly: false, labels: {}, requestId: '' };

/** Makes a file of three bytes; `end` says how it gets its name. */
function threeBytes(end: (run: Run, part: StagedImage, spec: Spec) => Promise<WriteResult>): Verb<Spec, WriteResult> {
  return {
    name: 'ThreeBytes',
    slot: () => 'io',
    uses: ({ target, overwrite }) => [{ role: 'target', address: target, overwrite, allowDependants: false }],
    async run(spec, run) {
      const part = await run.part(spec.target, { overwrite: spec.overwrite, attributes: {} });
      writeFileSync(procPath(part), 'new');
      return end(run, part, spec);
    },
  };
}

async function published(
  run: Run,
  part: StagedImage,
  { target }: Spec,
  after: () => Promise<void> = () => Promise.resolve(),
) {
  const made = await part.seal();
  return run.commit('COMMITTING', { address: target, made, result: RESULT }, async () => {
    const notDurable = await part.publish();
    await after();
    return notDurable;
  });
}

describe('after the point of no return', () => {
  const scratch = scratchFolder();
  let engine: Awaited<ReturnType<typeof composeEngine>>;
  let target: ImageAddress;

  before(async () => {
    target = asAddress(scratch.path('target'));
    engine = await composeEngine(scratch.path(), () => Promise.resolve());
    scratch.onEnd(() => engine.close());
  });
  afterEach(() => {
    rmSync(target, { force: true });
    engine.failures.length = 0;
  });

  async function outcome(records: AsyncIterable<OperationRecord>) {
    let last: OperationRecord | undefined;
    let reason = '';
    try {
      for await (const record of records) last = record;
    } catch (error) {
      ({ reason } = asHostlerError(error));
    }
    assert.equal((await engine.journal.get(last?.id ?? ''))?.state, last?.state);
    assert.deepEqual(
      readdirSync(scratch.path()).filter((name) => name.startsWith('.hostler-')),
      [],
    );
    return { state: last?.state, reason, warnings: last?.warnings.map((each) => each.reason), result: last?.result };
  }
  const run = (verb: Verb<Spec, WriteResult>, overwrite = false) =>
    outcome(engine.operations.start(verb, { target, overwrite }, ask, someCaller));
  const succeeded = { state: 'SUCCEEDED', reason: '', warnings: ['AFTERWARDS_FAILED'], result: RESULT };

  for (const overwrite of [false, true]) {
    const over = overwrite ? ', over another file' : '';
    const begin = () => {
      if (overwrite) writeFileSync(target, 'old');
    };
    it(`what the verb does at last fails${over}`, async () => {
      begin();
      const verb = threeBytes(async (...args) => {
        await published(...args);
        throw broken();
      });
      assert.deepEqual(await run(verb, overwrite), succeeded);
      assert.equal(engine.failures.length, 1);
    });

    it(`the name is given, and then its folder cannot be synced${over}`, async () => {
      begin();
      const verb = threeBytes((...args) => published(...args, () => Promise.reject(broken())));
      assert.deepEqual(await run(verb, overwrite), succeeded);
    });

    it(`the name could not be given${over}`, async () => {
      begin();
      const verb = threeBytes(async (each, part, spec) => {
        const made = await part.seal();
        return each.commit('COMMITTING', { address: spec.target, made, result: RESULT }, () =>
          Promise.reject(broken()),
        );
      });
      const { state, reason } = await run(verb, overwrite);
      assert.deepEqual([state, reason], ['FAILED', 'IO_ERROR']);
      assert.equal(existsSync(target), overwrite);
    });
  }

  it('somebody else has the name: that is no success', async () => {
    const verb = threeBytes((each, part, spec) => {
      writeFileSync(target, 'theirs');
      return published(each, part, spec);
    });
    const { state, reason } = await run(verb);
    assert.deepEqual([state, reason], ['FAILED', 'TARGET_EXISTS']);
  });

  it('marks of what was replaced, or changed, cannot be taken away', async () => {
    writeFileSync(target, 'old');
    const removeMark = engine.journal.removeMark.bind(engine.journal);
    const change: Verb<Spec, WriteResult> = {
      name: 'Change',
      slot: () => 'io',
      uses: ({ target: address }) => [{ role: 'source', address, allowInUse: false }],
      async run({ target: address }, each) {
        await each.touch(each.file(address));
        return RESULT;
      },
    };
    engine.journal.removeMark = () => Promise.reject(broken());
    try {
      assert.deepEqual(await run(change), succeeded);
      assert.deepEqual(await run(threeBytes(published), true), succeeded);
    } finally {
      engine.journal.removeMark = removeMark;
    }
  });

  it('the end cannot be written into the journal', async () => {
    const put = engine.journal.put.bind(engine.journal);
    engine.journal.put = (record) => (record.state === 'SUCCEEDED' ? Promise.reject(broken()) : put(record));
    try {
      let last: OperationRecord | undefined;
      for await (const record of engine.operations.start(
        threeBytes(published),
        { target, overwrite: false },
        ask,
        someCaller,
      ))
        last = record;
      assert.equal(last?.state, 'SUCCEEDED');
      assert.notEqual((await engine.journal.get(last.id))?.commit, undefined);
    } finally {
      engine.journal.put = put;
    }
  });

  it('of a target on another host', async () => {
    const verb: Verb<Spec, WriteResult> = {
      name: 'Far',
      slot: () => 'io',
      uses: () => [],
      async run(_, each) {
        await each.commitFar(() => Promise.resolve(RESULT));
        throw broken();
      },
    };
    assert.deepEqual(await run(verb), succeeded);
    const failing = {
      ...verb,
      run: (_: Spec, each: Run) => each.commitFar<WriteResult>(() => Promise.reject(broken())),
    };
    assert.equal((await run(failing)).state, 'FAILED');
  });

  it('a removal that took place, and one for which somebody else was faster', async () => {
    const spec = { address: target, missingOk: false, allowInUse: false, allowDependants: false };
    const removing = (remove: () => void, error: HostlerError) => {
      const files = Object.assign(Object.create(engine.ports.files) as typeof engine.ports.files, {
        remove: () => {
          remove();
          return Promise.reject(error);
        },
      });
      return outcome(engine.operations.start(deleteImage({ ...engine.ports, files }), spec, ask, someCaller));
    };
    const gone = () => {
      rmSync(target);
    };
    writeFileSync(target, 'old');
    const removed = await removing(gone, broken());
    assert.deepEqual([removed.state, removed.warnings], ['SUCCEEDED', ['AFTERWARDS_FAILED']]);
    writeFileSync(target, 'old');
    assert.equal((await removing(gone, new HostlerError('IMAGE_NOT_FOUND', 'x'))).reason, 'IMAGE_NOT_FOUND');
    writeFileSync(target, 'old');
    assert.equal((await removing(() => undefined, broken())).reason, 'IO_ERROR');
  });
});
