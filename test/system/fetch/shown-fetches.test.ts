/**
 * What came of a fetch, and where from, is shown to its caller and to admins; how it goes is shown
 * to others.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const GOOD = { authorization: 'Bearer good' };
const content = noise(200_000, 18);
const digest = createHash('sha256').update(content).digest('hex');
/** Details of errors are messages in bytes. */
const readable = (message: unknown) =>
  JSON.stringify(message, (_, value: unknown) => (isBytes(value) ? Buffer.from(value.data).toString('latin1') : value));
const isBytes = (value: unknown): value is { data: number[] } =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';
const WHO = ['operator', 'viewer', 'placeless'] as const;

describe('an operation that fetches', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      '[fetch]\nattempts = 1',
      '[roles.placeless]\nservices = ["OperationService"]\noperations = "all"',
      ...WHO.map(
        (name) => `[[listeners]]\naddress = "unix://${scratch.path('daemon', name)}.sock"\nrole = "${name}"\n`,
      ),
    ].join('\n'),
  }));
  let server: FaultServer;
  let as: Record<(typeof WHO)[number], Stranger>;
  before(async () => {
    server = await FaultServer.start();
    const of = (name: string) => new Stranger(`unix://${scratch.path('daemon', name)}.sock`);
    as = { operator: of('operator'), viewer: of('viewer'), placeless: of('placeless') };
    scratch.onEnd(() => {
      for (const each of Object.values(as)) each.close();
      return server.close();
    });
  });
  const source = (name: string) => ({
    http: { url: server.add(name, content, { authorization: GOOD.authorization }), headers: GOOD },
  });
  const listed = async (who: Stranger, methods: readonly string[]) => {
    const { operations = [] } = await who.unary('OperationService/ListOperations', { filter: { methods } });
    return operations as (Message & { operation_id: string; last: Message })[];
  };

  const fetches: Record<string, (name: string) => Promise<unknown>> = {
    FetchImage: (name) =>
      as.operator.operation('ImageService/FetchImage', {
        ...{ source: source(name), target: daemon.get().image(name), use_cache: true },
        checksum: { algorithm: 'sha256', digest },
      }),
    FetchRawImage: (name) =>
      as.operator.operation('ImageService/FetchRawImage', {
        ...{ source: source(name), target: daemon.get().image(name) },
        checksum: { algorithm: 'sha256', digest },
      }),
    PrefetchImage: (name) => as.operator.operation('ImageService/PrefetchImage', { source: source(name) }),
  };
  for (const [method, fetch] of Object.entries(fetches))
    it(`${method} shows its checksum and entry to its caller and admins only`, async () => {
      const watch = as.viewer.stream('OperationService/WatchOperations', {});
      const seen: Message[] = [];
      watch.on('data', (event: Message) => seen.push(event));
      watch.on('error', () => undefined); // it is cancelled
      const answer = JSON.stringify(await fetch(`of-${method}`));
      assert.match(answer, new RegExp(digest), 'its caller is answered');
      for (const who of [as.operator, daemon.get().stranger])
        assert.match(readable(await listed(who, [method])), new RegExp(digest));
      const shown = await listed(as.viewer, [method, 'FillCache']);
      assert.ok(shown.some((each) => each['method'] === method && each.last['state'] === 'OPERATION_STATE_SUCCEEDED'));
      for (const { operation_id } of shown) {
        const one = await as.viewer.unary('OperationService/GetOperation', { operation_id });
        const watched: Message[] = [];
        for await (const event of as.viewer.stream('OperationService/WatchOperation', { operation_id }))
          watched.push(event as Message);
        assert.doesNotMatch(readable([one, watched]), new RegExp(`${digest}|"cache_id":"[^"]|127.0.0.1`));
      }
      const ended = () => seen.some((each) => JSON.stringify(each).includes('OPERATION_STATE_SUCCEEDED'));
      await until(() => ended());
      watch.cancel();
      assert.doesNotMatch(readable([shown, seen]), new RegExp(`${digest}|"cache_id":"[^"]|127.0.0.1`));
    });
  it('that failed shows what came, and where from, to its caller and admins only; the reason to all', async () => {
    const request = { source: source('failing'), target: daemon.get().image('failing') };
    const wrong = { algorithm: 'sha256', digest: '0'.repeat(64) };
    const error = await failure(as.operator.operation('ImageService/FetchImage', { ...request, checksum: wrong }));
    assert.equal(error.reason, 'CHECKSUM_MISMATCH');
    const failed = { filter: { states: ['OPERATION_STATE_FAILED'] } };
    const { operations } = await as.viewer.unary('OperationService/ListOperations', failed);
    const text = readable(operations);
    assert.match(text, /CHECKSUM_MISMATCH/);
    assert.doesNotMatch(text, new RegExp(`${digest}|127.0.0.1`));
    const own = readable((await as.operator.unary('OperationService/ListOperations', failed))['operations']);
    assert.match(own, new RegExp(digest));
  });
  it('and names no place is not there for who sees no place', async () => {
    const [{ operation_id } = { operation_id: '' }] = await listed(as.operator, ['PrefetchImage']);
    assert.notEqual(operation_id, '', 'the operator sees it');
    assert.deepEqual(await listed(as.placeless, []), []);
    for (const rpc of ['GetOperation', 'CancelOperation']) {
      const error = await failure(as.placeless.unary(`OperationService/${rpc}`, { operation_id }));
      assert.equal(error.reason, 'OPERATION_NOT_FOUND', rpc);
    }
  });
});
