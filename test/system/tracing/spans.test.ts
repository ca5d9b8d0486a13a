/** Spans of calls, operations and tools, as an OTLP receiver gets them. */
import assert from 'node:assert/strict';
import { Metadata } from '@grpc/grpc-js';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { OtlpReceiver, type ReceivedSpan } from '../../support/servers/otlp-receiver.js';
import { failure, type Message } from '../../support/stranger.js';

const [TRACE, CALLER] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
const CREATE = 'hostler.v1.ImageService/CreateImage';

function traced(flags = '01'): Metadata {
  const metadata = new Metadata();
  metadata.set('traceparent', `00-${TRACE}-${CALLER}-${flags}`);
  return metadata;
}

describe('spans', () => {
  const scratch = scratchFolder();
  let started = 0;
  /** Works with a daemon, stops it, and returns what has arrived then. */
  const spansOf = async (
    receiver: OtlpReceiver,
    work: (daemon: Daemon) => Promise<unknown>,
    toml = '',
  ): Promise<{ readonly daemon: Daemon; readonly receiver: OtlpReceiver }> => {
    const daemon = await Daemon.start(scratch.path(`d${String(++started)}`), { toml: receiver.toml + toml });
    try {
      await work(daemon);
    } finally {
      assert.equal(await daemon.stop(), 0);
    }
    return { daemon, receiver };
  };
  const create = (daemon: Daemon, name: string, metadata = traced(), more: Message = {}) =>
    daemon.stranger.all(
      'ImageService/CreateImage',
      { path: daemon.image(name), format: 'qcow2', size: '1M', request_id: name, ...more },
      {},
      metadata,
    );
  /** The call, its operation and the tool of that. */
  const chain = (receiver: OtlpReceiver, name: string): readonly [ReceivedSpan, ReceivedSpan, ReceivedSpan[]] => {
    const call = receiver.one(CREATE, 'hostler.request_id', name);
    const operation = receiver.one('CreateImage', 'hostler.request_id', name);
    return [call, operation, receiver.spans.filter(({ parentId }) => parentId === operation.spanId)];
  };

  for (const protocol of ['http', 'grpc'] as const)
    it(`by ${protocol}, from the caller's to the tool's, in the trace of the log`, async () => {
      const receiver = await OtlpReceiver[protocol](scratch);
      const preallocation = 'PREALLOCATION_FALLOC';
      const { daemon } = await spansOf(receiver, (it) => create(it, 'traced', traced(), { preallocation }));
      const [call, operation, tools] = chain(receiver, 'traced');
      assert.deepEqual([call.traceId, call.parentId, call.kind], [TRACE, CALLER, 'SERVER']);
      assert.equal(call.attributes['rpc.status_code'], 'OK');
      assert.equal(call.attributes['hostler.caller'], 'local');
      assert.deepEqual([operation.traceId, operation.parentId], [TRACE, call.spanId]);
      assert.equal(operation.attributes['hostler.operation_id'], call.attributes['hostler.operation_id']);
      assert.deepEqual(operation.attributes['hostler.addresses'], [daemon.image('traced')]);
      assert.equal(operation.attributes['hostler.state'], 'SUCCEEDED');
      assert.ok(['admitted', 'started', 'publish'].every((step) => operation.events.includes(step)));
      const [tool] = tools.filter(({ name }) => name === 'qemu-img');
      assert.equal(tool?.attributes['process.exit.code'], '0');
      assert.equal(tool.traceId, TRACE);
      assert.ok([call, operation, tool].every(({ isError }) => !isError));
      const { resource } = call;
      assert.equal(resource['service.name'], 'hostlerd');
      const serving = daemon.records().find(({ message }) => message === 'SERVING');
      assert.equal(resource['service.instance.id'], serving?.['agent']);
      const lines = daemon.records().filter(({ request_id: id }) => id === 'traced');
      assert.deepEqual(new Set(lines.map(({ trace_id: id }) => id)), new Set([TRACE]));
    });

  it('a call without a trace begins one, which the log has too', async () => {
    const { daemon, receiver } = await spansOf(await OtlpReceiver.http(scratch), (it) =>
      create(it, 'own', new Metadata()),
    );
    const [call, operation] = chain(receiver, 'own');
    assert.equal(call.parentId, '');
    assert.equal(operation.traceId, call.traceId);
    const lines = daemon.records().filter(({ request_id: id }) => id === 'own');
    assert.deepEqual(new Set(lines.map(({ trace_id: id }) => id)), new Set([call.traceId]));
  });

  it('a failure has its reason; what the caller can put right is no error of the call', async () => {
    const toml = '[debug]\nfailpoints = ["ResizeImage:change:NO_SPACE"]\n';
    const { receiver } = await spansOf(
      await OtlpReceiver.http(scratch),
      async (daemon) => {
        const path = daemon.image('fails');
        await create(daemon, 'fails');
        const resize = { path, format: 'qcow2', size: '2M', request_id: 'resize' };
        await failure(daemon.stranger.operation('ImageService/ResizeImage', resize));
        await failure(daemon.stranger.unary('ImageService/GetImageInfo', { path: `${path}-missing` }));
      },
      toml,
    );
    const operation = receiver.one('ResizeImage', 'hostler.request_id', 'resize');
    assert.deepEqual(
      [operation.isError, operation.attributes['error.type'], operation.attributes['hostler.state']],
      [true, 'NO_SPACE', 'FAILED'],
    );
    assert.match(operation.message, /failpoint at change/);
    const [info] = receiver.named('hostler.v1.ImageService/GetImageInfo');
    assert.deepEqual(
      [info?.isError, info?.attributes['rpc.status_code'], info?.attributes['error.type']],
      [false, 'NOT_FOUND', 'IMAGE_NOT_FOUND'],
    );
  });

  it('a caller whose trace is not sampled sends none, and a ratio of 0 begins none', async () => {
    const sampled = await spansOf(await OtlpReceiver.http(scratch), (it) => create(it, 'unsampled', traced('00')));
    assert.deepEqual(sampled.receiver.named('CreateImage'), []);
    const off = await spansOf(
      await OtlpReceiver.http(scratch),
      async (daemon) => {
        await create(daemon, 'ratio', new Metadata());
        await create(daemon, 'decided');
      },
      'sample_ratio = 0\n',
    );
    assert.deepEqual(
      off.receiver.named('CreateImage').map(({ attributes }) => attributes['hostler.request_id']),
      ['decided'],
    );
  });

  it('have no secret, and a web server hears nothing of the trace', async () => {
    const server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    server.add('image.raw', Buffer.alloc(4096, 7));
    const secret = 'Bearer do-not-show-this-one';
    const { receiver } = await spansOf(await OtlpReceiver.http(scratch), (daemon) => {
      const url = `${server.origin}/image.raw?signature=nor-this-one`;
      const source = { http: { url, headers: { authorization: secret } } };
      const request = { source, target: daemon.image('fetched'), request_id: 'fetch' };
      return daemon.stranger.all('ImageService/FetchRawImage', request, {}, traced());
    });
    const fetch = receiver.one('FetchRawImage', 'hostler.request_id', 'fetch');
    assert.equal(fetch.traceId, TRACE);
    const { seen } = server.file('image.raw');
    assert.ok(seen.some((headers) => headers.authorization === secret));
    assert.ok(seen.every((headers) => !('traceparent' in headers) && !('tracestate' in headers)));
    for (const word of ['do-not-show-this-one', 'nor-this-one'])
      assert.ok(!Buffer.concat(receiver.bytes).includes(word), word);
  });
});
