/**
 * A mistake of ours that nobody catches is logged and counted; only many of them end the daemon,
 * and then in order.
 */
import assert from 'node:assert/strict';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';

describe('an exception that nobody catches', () => {
  const scratch = scratchFolder();
  const options = {
    http: '127.0.0.1:0',
    faulty: true,
    toml: '[debug]\nfailpoints = ["CreateImage:started:throw"]\n',
  };
  const create = (daemon: Daemon, n: number) =>
    daemon.stranger.operation('ImageService/CreateImage', { path: daemon.image(String(n)), format: 'raw', size: '1M' });

  it('is in the log with its stack, and a metric; what runs goes on', async () => {
    const daemon = await Daemon.start(scratch.path('few'), options);
    await Promise.all([1, 2, 3].map((n) => create(daemon, n)));
    assert.match(await daemon.metrics(), /^hostler_uncaught_exceptions_total 3$/m);
    const told = daemon.records().filter(({ message }) => message === 'an exception that nobody caught');
    assert.equal(told.length, 3);
    for (const { cause, level } of told) {
      assert.equal(level, 'error');
      assert.match(String(cause), /failpoint at started[^]*\n {4}at /);
    }
    assert.equal(await daemon.stop(), 0);
  });

  it('ten in a minute: the daemon stops in order, so that it is started afresh', async () => {
    const daemon = await Daemon.start(scratch.path('many'), options);
    const made = await Promise.all(Array.from({ length: 10 }, (_, n) => create(daemon, n)));
    assert.equal(made.length, 10);
    assert.equal(await daemon.exited, 1);
    daemon.stranger.close();
    assert.match(daemon.log, /the daemon stops/);
    assert.match(daemon.log, /"STOPPED"/);
    const again = await Daemon.start(scratch.path('many'));
    const { operations } = await again.stranger.unary('OperationService/ListOperations', {});
    const states = (operations as Message[]).map(({ last }) => (last as Message)['state']);
    assert.deepEqual([...new Set(states)], ['OPERATION_STATE_SUCCEEDED']);
    assert.equal(await again.stop(), 0);
  });
});
