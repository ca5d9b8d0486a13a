/**
 * The daemon is killed at every step of every verb; the next one leaves what the contract allows,
 * and nothing else.
 */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';

describe('crash matrix', () => {
  const scratch = scratchFolder();
  const folder = () => scratch.path('daemon');
  const image = (name: string) => scratch.path('daemon/images', name);
  const start = (failpoint?: string) =>
    Daemon.start(folder(), failpoint === undefined ? {} : { toml: `[debug]\nfailpoints = ["${failpoint}"]\n` });

  before(async () => {
    await (await start()).stop();
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('base.qcow2'), '16M');
    await writeFile(image('disk.raw'), noise(1 << 20));
    await writeFile(image('old.raw'), 'old');
  });

  const make = [
    'admitted',
    'started',
    'reserve',
    'prepare',
    'create',
    'seal',
    'commit',
    'publish',
    'published',
    'cleaned',
  ];
  const convert = make.map((step) => (step === 'create' ? 'convert' : step));
  const copy = [...make.map((step) => (step === 'create' ? 'copy' : step)), 'verify'];
  const verbs: [string, string, string[], () => Message][] = [
    ['CreateImage', 'new', make, () => ({ path: image('new'), format: 'qcow2', size: '1M' })],
    [
      'CreateOverlay',
      'new',
      make,
      () => ({ path: image('new'), backing_file: image('base.qcow2'), backing_format: 'qcow2' }),
    ],
    [
      'ConvertImage',
      'new',
      convert,
      () => ({ source: image('disk.raw'), source_format: 'raw', target: image('new'), target_format: 'qcow2' }),
    ],
    [
      'ExtractSnapshot',
      'new',
      convert,
      () => ({ path: image('base.qcow2'), source_format: 'qcow2', target: image('new'), target_format: 'raw' }),
    ],
    [
      'CopyImage',
      'new',
      copy,
      () => ({ source: image('disk.raw'), target: image('new'), verify: true, engine: 'COPY_ENGINE_LOCAL_SPARSE' }),
    ],
    [
      'CopyImage',
      'old.raw',
      copy,
      () => ({
        source: image('disk.raw'),
        target: image('old.raw'),
        verify: true,
        overwrite: true,
        engine: 'COPY_ENGINE_LOCAL_SPARSE',
      }),
    ],
    [
      'DeleteImage',
      'old.raw',
      ['admitted', 'started', 'commit', 'publish', 'published', 'cleaned'],
      () => ({ path: image('old.raw') }),
    ],
  ];

  for (const [verb, target, steps, request] of verbs) {
    for (const step of steps) {
      it(`${verb} of ${target}, killed at ${step}`, async () => {
        const before = await readFile(image(target)).catch(() => undefined);
        const passed = step === 'published' || step === 'cleaned';
        const first = await start(`${verb}:${step}:kill`);
        const id = `${verb}-${step}-${target}`;
        await failure(first.stranger.all(`ImageService/${verb}`, { ...request(), request_id: id }));
        first.stranger.close();
        await first.exited;
        const second = await start();
        try {
          const { operations } = (await second.stranger.unary('OperationService/ListOperations', {
            page_size: 1000,
          })) as { operations: Message[] };
          const record = operations.find((each) => each['request_id'] === id);
          const last = record?.['last'] as Message;
          assert.equal(last['state'], passed ? 'OPERATION_STATE_SUCCEEDED' : 'OPERATION_STATE_FAILED');
          if (!passed) assert.match(JSON.stringify(last['error']), /the daemon ended while/);
          assert.deepEqual(await second.leftovers(), []);
          const after = await readFile(image(target)).catch(() => undefined);
          if (!passed) assert.deepEqual(after, before);
          // The same call again: its result if it took effect, a new attempt if not.
          const result = await second.stranger.operation(`ImageService/${verb}`, { ...request(), request_id: id });
          assert.equal(result['replayed'] ?? false, passed);
          if (verb !== 'DeleteImage') assert.notEqual(await readFile(image(target)).catch(() => undefined), undefined);
        } finally {
          await second.stop();
          await rm(image('new'), { force: true });
          await writeFile(image('old.raw'), 'old');
        }
      });
    }
  }
});
