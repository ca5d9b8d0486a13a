/**
 * The daemon is killed at every step of every verb; the next one leaves what the contract allows,
 * and nothing else.
 */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { alive } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

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

  it('killed in the middle of a convert: child, part and lock are gone', async () => {
    await writeFile(image('big.raw'), noise(16 << 20));
    const first = await start();
    const stream = first.stranger.stream('ImageService/ConvertImage', {
      source: image('big.raw'),
      source_format: 'raw',
      target: image('mid.qcow2'),
      target_format: 'qcow2',
      bandwidth_bytes_per_second: '1048576',
      detach: true,
    });
    let pid = 0;
    stream.on('data', (event: { pid?: number }) => (pid = event.pid ?? pid));
    stream.on('error', () => undefined);
    while (pid === 0) await sleep(20);
    await sleep(500);
    first.process.kill('SIGKILL');
    await first.exited;
    assert.equal((await first.leftovers()).length, 2);
    const second = await start();
    assert.ok(!alive(pid));
    assert.deepEqual(await second.leftovers(), []);
    await second.stranger.operation('ImageService/DeleteImage', { path: image('big.raw') });
    first.stranger.close();
    assert.equal(await second.stop(), 0);
  });

  it('the sweep removes folders of this agent that no journal knows, and never those of others', async () => {
    const agent = (await readFile(scratch.path('daemon/state/agent-id'), 'utf8')).trim();
    const [ours, theirs] = [
      `.hostler-${agent}-01ARZ3NDEKTSV4RRFFQ69G5FAV`,
      '.hostler-0123456789ab-01ARZ3NDEKTSV4RRFFQ69G5FAV',
    ];
    await sh('mkdir', '-p', image(`deep/er/${ours}`), image(`deep/${theirs}`));
    await writeFile(image(`deep/er/${ours}/part`), 'x');
    const daemon = await start();
    for (let tries = 0; !daemon.log.includes('"swept"'); tries++) {
      assert.ok(tries < 1000);
      await sleep(20);
    }
    assert.deepEqual(await daemon.leftovers(), [`deep/${theirs}`]);
    await daemon.stop();
  });
});
