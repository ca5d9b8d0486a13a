/** Collectors that are not there, or do not answer: the daemon works as without them. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { OtlpReceiver } from '../../support/servers/otlp-receiver.js';
import { until } from '../../support/until.js';

const CALLS = 20;
const LOST = 'spans cannot be exported, and are lost';

describe('a collector', () => {
  const scratch = scratchFolder();
  const warnings = (daemon: Daemon) => daemon.records().filter(({ message }) => message === LOST);
  const call = async (daemon: Daemon, count: number) => {
    await Promise.all(Array.from({ length: count }, () => daemon.stranger.unary('HostInfoService/GetHostInfo')));
  };

  for (const protocol of ['http/protobuf', 'grpc'])
    it(`that is not there costs one warning (${protocol})`, async () => {
      const none = createServer();
      await new Promise<void>((resolve) => none.listen(0, '127.0.0.1', resolve));
      const { port } = none.address() as AddressInfo;
      await new Promise((resolve) => none.close(resolve));
      const endpoint = `http://127.0.0.1:${String(port)}`;
      const toml = `[tracing]\nendpoint = "${endpoint}"\nprotocol = "${protocol}"\n`;
      const daemon = await Daemon.start(scratch.path(protocol.slice(0, 4)), { toml });
      await call(daemon, CALLS);
      await until(() => warnings(daemon).length > 0);
      const [{ level, endpoint: at, ...facts } = {}] = warnings(daemon);
      assert.deepEqual([level, at], ['warn', endpoint]);
      assert.ok(!('operation_id' in facts || 'trace_id' in facts));
      assert.match(String(facts['cause']), /ECONNREFUSED/);
      await call(daemon, CALLS);
      assert.equal(await daemon.stop(), 0);
      assert.equal(warnings(daemon).length, 1);
    });

  it('that does not answer holds up no call and no stop', async () => {
    const [sockets, silent] = [new Set<Socket>(), createServer((socket) => sockets.add(socket))];
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    scratch.onEnd(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => silent.close(resolve));
    });
    const { port } = silent.address() as AddressInfo;
    const toml = `[tracing]\nendpoint = "http://127.0.0.1:${String(port)}"\n`;
    const daemon = await Daemon.start(scratch.path('silent'), { toml });
    await call(daemon, CALLS);
    await until(() => sockets.size > 0);
    assert.equal(await daemon.stop(), 0);
    assert.match(daemon.log, /STOPPED/);
    assert.doesNotMatch(daemon.log, /cannot be closed in time/);
    assert.equal(warnings(daemon).length, 1);
  });

  it('that comes back gets what is made then, and the log says how many were lost', async () => {
    const receiver = await OtlpReceiver.http(scratch);
    receiver.refuses = true;
    const daemon = await Daemon.start(scratch.path('back'), { toml: receiver.toml });
    await call(daemon, CALLS);
    await until(() => warnings(daemon).length > 0);
    receiver.refuses = false;
    await until(async () => {
      await call(daemon, 1);
      return receiver.spans.length > 0;
    });
    assert.equal(await daemon.stop(), 0);
    const again = daemon.records().find(({ message }) => message === 'spans are exported again');
    assert.ok(Number(again?.['lost']) >= CALLS, JSON.stringify(again));
    assert.equal(warnings(daemon).length, 1);
  });
});
