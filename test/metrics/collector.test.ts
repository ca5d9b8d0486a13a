/** A real OpenTelemetry Collector gets what the daemon exports. */
import assert from 'node:assert/strict';
import { Metadata } from '@grpc/grpc-js';
import { Daemon } from '../support/daemon.js';
import { scratchFolder } from '../support/scratch.js';
import { Collector } from '../support/servers/collector.js';
import { until } from '../support/until.js';

const [TRACE, CALLER] = ['4bf92f3577b34da6a3ce929d0e0e47', '00f067aa0ba902b7'];

describe('the daemon and a real OpenTelemetry Collector', () => {
  const scratch = scratchFolder();
  let collector: Collector;
  before(async function () {
    collector = await Collector.start(this, scratch);
  });

  for (const [index, protocol] of (['http/protobuf', 'grpc'] as const).entries())
    it(`a call, its operation and its tool arrive by ${protocol}`, async () => {
      const trace = `${TRACE}0${String(index)}`;
      const endpoint = collector.endpoints[protocol];
      const toml = `[tracing]\nendpoint = "${endpoint}"\nprotocol = "${protocol}"\n`;
      const daemon = await Daemon.start(scratch.path(`d${String(index)}`), { toml });
      const metadata = new Metadata();
      metadata.set('traceparent', `00-${trace}-${CALLER}-01`);
      const preallocation = 'PREALLOCATION_FALLOC';
      const request = { path: daemon.image('disk'), format: 'qcow2', size: '1M', preallocation };
      await daemon.stranger.all('ImageService/CreateImage', request, {}, metadata);
      assert.equal(await daemon.stop(), 0);
      const ours = async () => (await collector.spans()).filter(({ traceId }) => traceId === trace);
      await until(async () => (await ours()).some(({ parentSpanId }) => parentSpanId === CALLER));
      const spans = await ours();
      const call = spans.find(({ name }) => name === 'hostler.v1.ImageService/CreateImage');
      const operation = spans.find(({ name }) => name === 'CreateImage');
      const tool = spans.find(({ name }) => name === 'qemu-img');
      assert.deepEqual(
        [call?.parentSpanId, operation?.parentSpanId, tool?.parentSpanId],
        [CALLER, call?.spanId, operation?.spanId],
      );
      const state = operation?.attributes.find(({ key }) => key === 'hostler.state');
      assert.equal(state?.value.stringValue, 'SUCCEEDED');
      assert.deepEqual(
        spans.map(({ status }) => status.code ?? 0),
        spans.map(() => 0),
      );
    });
});
