/**
 * What a caller gives in secret is in no line of the log and in no line of its operation, whatever
 * goes wrong; and what others get of those lines.
 */
import assert from 'node:assert/strict';
import { noise } from '../../support/images/disks.js';
import { suiteDaemon } from '../../support/daemon.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';

interface Line {
  readonly message: string;
  readonly facts?: Readonly<Record<string, string>>;
}

describe('lines of the log, and what is not for them', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const socket = () => scratch.path('daemon', 'viewer.sock');
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      '[log]\nlevel = "debug"\n[fetch]\nattempts = 1',
      '[[commands]]\nname = "tell"\nexecutable = "/bin/sh"\narguments = ["-c", "[^;]*"]',
      `[[listeners]]\naddress = "unix://${socket()}"\nrole = "viewer"`,
    ].join('\n'),
  }));
  let server: FaultServer;
  let viewer: Stranger;
  before(async () => {
    server = await FaultServer.start();
    viewer = new Stranger(`unix://${socket()}`);
    scratch.onEnd(() => {
      viewer.close();
      return server.close();
    });
  });
  const image = (name: string) => daemon.get().image(name);
  const linesOf = async (who: Stranger, id: string) => {
    const { lines = [] } = await who.unary('OperationService/GetOperationLog', { operation_id: id });
    return lines as Line[];
  };
  /** The id of the operation that a request became, when its call is in the log. */
  const ended = async (requestId: string) => {
    await daemon.get().logged(new RegExp(`"call".*"request_id":"${requestId}"`));
    const of = daemon.get().records();
    const line = of.find(({ message, request_id: id }) => message === 'operation' && id === requestId);
    return String(line?.['operation_id']);
  };
  /** Neither the log nor the operation's lines have it, as it is or as bytes are shown. */
  const assertNowhere = async (secret: string, id: string) => {
    const lines = await linesOf(daemon.get().stranger, id);
    assert.ok(lines.length > 1, 'there are lines');
    const text = `${daemon.get().log}${JSON.stringify(lines)}`;
    for (const form of [secret, Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex')])
      assert.ok(
        !text.includes(form),
        `${secret} in ${text.slice(Math.max(0, text.indexOf(form) - 300)).slice(0, 600)}`,
      );
    return lines;
  };

  it('a passphrase, right or wrong, is not in arguments, output or reasons', async () => {
    const path = image('locked.qcow2');
    const [right, wrong] = ['opens-4711-it', 'opens-4712-not'];
    const encryption = { format: 'luks', passphrase: Buffer.from(right) };
    const made = { path, format: 'qcow2', size: '1M', encryption, request_id: 'locked-1' };
    await daemon.get().stranger.operation('ImageService/CreateImage', made);
    const lines = await assertNowhere(right, await ended('locked-1'));
    const child = lines.find(({ message, facts }) => message === 'child' && facts?.['tool'] === 'qemu-img');
    assert.match(child?.facts?.['args'] ?? '', /\[hidden\]/);
    const convert = {
      ...{ source: path, source_format: 'qcow2', target: image('open.raw'), target_format: 'raw' },
      ...{ source_secret: { passphrase: Buffer.from(wrong) }, request_id: 'locked-2' },
    };
    const error = await failure(daemon.get().stranger.operation('ImageService/ConvertImage', convert));
    assert.equal(error.reason, 'SECRET_REQUIRED');
    await assertNowhere(wrong, await ended('locked-2'));
  });

  it('headers and the query of a URL are not in the reason of a failed fetch', async () => {
    const [signature, header] = ['signed-4713-so', 'header-4714-so'];
    const url = `${server.add('closed', noise(1000), { status: { code: 403, times: 9 } })}?X-Amz-Signature=${signature}`;
    const source = { http: { url, headers: { authorization: header } } };
    const request = { source, target: image('no'), request_id: 'signed-1' };
    const error = await failure(daemon.get().stranger.operation('ImageService/FetchRawImage', request));
    assert.equal(error.reason, 'SOURCE_REFUSED');
    const id = await ended('signed-1');
    for (const secret of [signature, header]) await assertNowhere(secret, id);
  });

  it('what a command is told, and says again, is not in the log, also when it fails', async () => {
    const told = 'stdin-4715-so';
    const request = { name: 'tell', args: ['-c', 'cat >&2 && exit 4'], stdin: Buffer.from(told), request_id: 'told-1' };
    const error = await failure(daemon.get().stranger.all('CommandService/Execute', request));
    assert.equal(error.reason, 'TOOL_FAILED');
    await assertNowhere(told, await ended('told-1'));
  });

  it('of operations of others a viewer sees how they went, and neither arguments nor tools of commands', async () => {
    const made: Message = { path: image('seen.qcow2'), format: 'qcow2', size: '1M', request_id: 'seen-1' };
    const request = { ...made, preallocation: 'PREALLOCATION_METADATA' };
    await daemon.get().stranger.operation('ImageService/CreateImage', request);
    const lines = await linesOf(viewer, await ended('seen-1'));
    const child = lines.find(({ message }) => message === 'child')?.facts ?? {};
    assert.equal(child['tool'], 'qemu-img');
    assert.equal(child['code'], '0');
    assert.ok(lines.every(({ facts = {} }) => !('args' in facts || 'stderr' in facts || 'cause' in facts)));
    const command = { name: 'tell', args: ['-c', 'true'], request_id: 'told-2' };
    await daemon.get().stranger.all('CommandService/Execute', command);
    const told = await linesOf(viewer, await ended('told-2'));
    assert.ok(told.some(({ message }) => message === 'child'));
    assert.ok(told.every(({ facts = {} }) => Object.keys(facts).length === 0));
  });
});
