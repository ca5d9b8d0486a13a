/**
 * Fail the first step, then the second, then the third …, until the verb passes: nothing is ever
 * left over.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { asAddress } from '../../src/domain/model/address.js';
import { convertImage } from '../../src/domain/verbs/convert-image.js';
import { copyImage } from '../../src/domain/copy/copy-image.js';
import { createImage } from '../../src/domain/verbs/create-image.js';
import { createOverlay } from '../../src/domain/verbs/create-overlay.js';
import { deleteImage } from '../../src/domain/verbs/delete-image.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import type { OperationRecord } from '../../src/domain/operations/record.js';
import { composeEngine, someCaller } from '../support/engine.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const ask = { detach: false, labels: {}, planOnly: false, requestId: '' };

describe('the n-th step fails', () => {
  const scratch = scratchFolder();
  let engine: Awaited<ReturnType<typeof composeEngine>>;
  const steps: string[] = [];
  let failAt = 0;
  let reason: 'IO_ERROR' | 'NO_SPACE' | 'ACCESS_DENIED' = 'IO_ERROR';
  const at = (name: string) => asAddress(scratch.path(name));

  before(async () => {
    engine = await composeEngine(scratch.path(), (_, __, step) => {
      steps.push(step);
      return steps.length === failAt ? Promise.reject(new HostlerError(reason, 'injected')) : Promise.resolve();
    });
    scratch.onEnd(() => engine.close());
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('base.qcow2'), '8M');
    await writeFile(at('old'), 'old');
  });

  async function drain(events: AsyncIterable<OperationRecord>): Promise<void> {
    let last: OperationRecord | undefined;
    for await (const record of events) last = record;
    assert.equal(last?.state, 'SUCCEEDED');
  }

  const rest = { overwrite: false, attributes: {}, allowDependants: false };
  const verbs: [string, () => AsyncIterable<OperationRecord>][] = [
    [
      'CreateImage',
      () =>
        engine.operations.start(
          createImage(engine.ports),
          { address: at('new'), format: 'qcow2', sizeBytes: 512n, encrypted: false, preallocation: 'off', ...rest },
          ask,
          someCaller,
        ),
    ],
    [
      'CreateOverlay',
      () =>
        engine.operations.start(
          createOverlay(engine.ports),
          {
            address: at('new'),
            backing: at('base.qcow2'),
            backingFormat: 'qcow2',
            allowChain: false,
            allowInUse: false,
            ...rest,
          },
          ask,
          someCaller,
        ),
    ],
    [
      'ConvertImage',
      () =>
        engine.operations.start(
          convertImage('ConvertImage', engine.ports),
          {
            source: at('base.qcow2'),
            sourceFormat: 'qcow2',
            target: at('new'),
            format: 'raw',
            compress: false,
            preallocation: 'off',
            encrypted: false,
            sourceEncrypted: false,
            allowInUse: false,
            ...rest,
          },
          ask,
          someCaller,
        ),
    ],
    [
      'CopyImage',
      () =>
        engine.operations.start(
          copyImage(engine.ports),
          {
            source: at('base.qcow2'),
            target: at('new'),
            engine: 'LOCAL_SPARSE',
            compress: false,
            verify: true,
            preserveAllocation: false,
            allowInUse: false,
            ...rest,
          },
          ask,
          someCaller,
        ),
    ],
    [
      'CopyImage over something',
      () =>
        engine.operations.start(
          copyImage(engine.ports),
          {
            source: at('base.qcow2'),
            target: at('old'),
            engine: 'LOCAL_SPARSE',
            compress: false,
            verify: false,
            preserveAllocation: false,
            allowInUse: false,
            ...rest,
            overwrite: true,
          },
          ask,
          someCaller,
        ),
    ],
    [
      'DeleteImage',
      () =>
        engine.operations.start(
          deleteImage(engine.ports),
          { address: at('old'), missingOk: false, allowInUse: false, allowDependants: false },
          ask,
          someCaller,
        ),
    ],
  ];

  for (const [name, start] of verbs) {
    for (const why of ['IO_ERROR', 'NO_SPACE', 'ACCESS_DENIED'] as const) {
      it(`${name}: each step with ${why}`, async () => {
        reason = why;
        await rm(at('new'), { force: true });
        await writeFile(at('old'), 'old');
        engine.failures.length = 0;
        const before = (await readdir(scratch.path())).sort();
        const descriptors = readdirSync('/proc/self/fd').length;
        const failed: string[] = [];
        for (failAt = 1; ; failAt++) {
          steps.length = 0;
          try {
            await drain(start());
            break;
          } catch (error) {
            assert.equal((error as HostlerError).reason, why);
            failed.push(steps[failAt - 1] ?? '');
            assert.deepEqual((await readdir(scratch.path())).sort(), before);
            assert.equal(await readFile(at('old'), 'utf8'), 'old');
          }
          const { locks, slots, space, operations } = engine;
          assert.deepEqual(
            [locks.size, slots.running, slots.waiting, space.size, operations.live.size],
            [0, 0, 0, 0, 0],
          );
        }
        // Every step failed once; the one after the point of no return does not undo what was done.
        assert.deepEqual([...new Set(failed), 'published', 'cleaned'], steps);
        assert.ok(failed.includes('publish'));
        // Those of an earlier file of tests may be closed meanwhile.
        assert.ok(readdirSync('/proc/self/fd').length <= descriptors);
        assert.equal(engine.failures.length, 1);
      });
    }
  }
});
