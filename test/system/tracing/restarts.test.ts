/** Operations that a restart of the daemon meets: the trace of their caller continues. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Metadata } from '@grpc/grpc-js';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { OtlpReceiver } from '../../support/servers/otlp-receiver.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

describe('spans and restarts', () => {
  const scratch = scratchFolder();
  /** Starts an operation that runs until the daemon ends. */
  const begin = async (daemon: Daemon, rpc: string, request: Message) => {
    const metadata = new Metadata();
    metadata.set('traceparent', `00-${TRACE}-00f067aa0ba902b7-01`);
    const events: Message[] = [];
    const stream = daemon.stranger.stream(rpc, { detach: true, ...request }, {}, metadata);
    stream.on('error', () => undefined); // the daemon ends
    stream.on('data', (event: Message) => events.push(event));
    await until(() => events.some(({ state }) => state === 'OPERATION_STATE_RUNNING'));
  };

  it('one that resumes has a new span, which continues the first', async () => {
    const server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    const content = noise(1 << 20);
    const slow = server.add('slow.raw', content, { stopAfter: { bytes: 700_000, times: 1 } });
    const receiver = await OtlpReceiver.http(scratch);
    const [folder, toml] = [scratch.path('resumes'), receiver.toml];
    const first = await Daemon.start(folder, { toml, server: 'drain_seconds = 0' });
    const request = { source: { http: { url: slow } }, target: first.image('slow.raw'), request_id: 'slow' };
    await begin(first, 'ImageService/FetchRawImage', request);
    // Otherwise the second daemon meets the line that stops.
    await until(() => server.file('slow.raw').sentBytes >= 700_000);
    assert.equal(await first.stop(), 0);
    const second = await Daemon.start(folder, { toml });
    await second.logged(/"operation".*SUCCEEDED|SUCCEEDED.*"operation"/);
    const line = second.records().find(({ message }) => message === 'operation');
    assert.equal(await second.stop(), 0);
    const [before, after, ...more] = receiver.named('FetchRawImage');
    assert.deepEqual(
      [before?.attributes['hostler.state'], after?.attributes['hostler.state'], more],
      ['SUSPENDED', 'SUCCEEDED', []],
    );
    assert.deepEqual([before?.traceId, after?.traceId, line?.['trace_id']], [TRACE, TRACE, TRACE]);
    assert.deepEqual(after?.links, [{ traceId: TRACE, spanId: before?.spanId }]);
    assert.equal(after.parentId, before?.spanId);
    assert.equal(after.attributes['hostler.attempt'], '2');
  });

  it('one that was cut off by a kill is shown with its end', async () => {
    const receiver = await OtlpReceiver.http(scratch);
    const [folder, toml] = [scratch.path('killed'), receiver.toml];
    const first = await Daemon.start(folder, { toml });
    await writeFile(first.image('noise.raw'), noise(4 << 20));
    await begin(first, 'ImageService/ConvertImage', {
      ...{ source: first.image('noise.raw'), source_format: 'raw', target_format: 'qcow2' },
      ...{ target: first.image('slow'), bandwidth_bytes_per_second: '65536', request_id: 'killed' },
    });
    first.process.kill('SIGKILL');
    await first.exited;
    first.stranger.close();
    const second = await Daemon.start(folder, { toml });
    assert.equal(await second.stop(), 0);
    const operation = receiver.one('ConvertImage', 'hostler.request_id', 'killed');
    assert.deepEqual([operation.traceId, operation.links.length], [TRACE, 1]);
    assert.deepEqual(
      [operation.isError, operation.attributes['error.type'], operation.attributes['hostler.state']],
      [true, 'AGENT_RESTARTED', 'FAILED'],
    );
  });
});
