/** A copy between two agents is one trace, from the caller to the tools of both. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { LoopbackAgents } from '../../support/hosts/loopback-agents.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { OtlpReceiver } from '../../support/servers/otlp-receiver.js';

describe('spans of two agents', () => {
  const scratch = scratchFolder();

  it('the calls to the other agent are within the operation, and its spans within the calls', async () => {
    const receiver = await OtlpReceiver.http(scratch);
    const agents = await LoopbackAgents.start(scratch, 2, { more: receiver.toml });
    await writeFile(agents.at(0).image('disk'), noise(1 << 20));
    await agents.at(1).stranger.operation('ImageService/CopyImage', agents.pullRequest(0, 1, 'disk'));
    await agents.stop();
    const [copy] = receiver.named('CopyImage');
    const { attributes: { 'hostler.state': state } = {}, resource: here } = copy ?? {};
    assert.equal(state, 'SUCCEEDED');
    for (const rpc of ['hostler.v1.ImageService/OpenExport', 'hostler.v1.ImageService/CloseExport']) {
      const [client, ...moreClients] = receiver.named(rpc).filter(({ kind }) => kind === 'CLIENT');
      const [server, ...moreServers] = receiver.named(rpc).filter(({ kind }) => kind === 'SERVER');
      assert.deepEqual([moreClients, moreServers], [[], []], rpc);
      assert.deepEqual([client?.parentId, client?.traceId], [copy?.spanId, copy?.traceId], rpc);
      assert.deepEqual([server?.parentId, server?.traceId], [client?.spanId, copy?.traceId], rpc);
      assert.equal(client?.attributes['rpc.status_code'], 'OK');
      assert.equal(client.resource['service.instance.id'], here?.['service.instance.id']);
      assert.notEqual(server?.resource['service.instance.id'], here?.['service.instance.id']);
    }
  });
});
