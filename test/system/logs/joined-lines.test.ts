/** Lines of the log that belong to an operation say so, and a caller gets them without a shell. */
import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { tryRun } from '../../support/shell.js';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly facts?: Readonly<Record<string, string>>;
}

describe('lines of the log', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: '[debug]\nfailpoints = ["ResizeImage:change:NO_SPACE"]\n' });
  const create = (path: string, request: Message = {}) =>
    daemon.get().stranger.operation('ImageService/CreateImage', { path, format: 'qcow2', size: '1M', ...request });
  const idOf = (requestId: string) =>
    String(
      daemon
        .get()
        .records()
        .find(({ message, request_id: id }) => message === 'operation' && id === requestId)?.['operation_id'],
    );
  const linesOf = async (id: string) =>
    (await daemon.get().stranger.unary('OperationService/GetOperationLog', { operation_id: id }))['lines'] as Line[];

  it('the line of the start says the versions', async () => {
    const serving = daemon
      .get()
      .records()
      .find(({ message }) => message === 'SERVING');
    const versions = serving?.['versions'] as Record<string, string>;
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    assert.equal(versions['hostler'], version);
    assert.equal(versions['node'], process.versions.node);
    assert.match(String(versions['qemu-img']), /^\d+\.\d+/);
    assert.match(String(versions['contract']), /^\d+\.\d+$/);
  });

  it('each has the same name for its time', () => {
    for (const { time } of daemon.get().records()) assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('the call and the operation have the ids of both', async () => {
    await create(daemon.get().image('joined.qcow2'), { request_id: 'joined-1' });
    const id = idOf('joined-1');
    await daemon.get().logged(new RegExp(`"call".*${id}`));
    const lines = daemon
      .get()
      .records()
      .filter(({ operation_id: each }) => each === id);
    assert.deepEqual(lines.map(({ message }) => message).toSorted(), ['call', 'operation']);
    assert.deepEqual(new Set(lines.map(({ request_id: each }) => each)), new Set(['joined-1']));
  });

  it("the lines of a call and of its operation have the trace of the call's caller", async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traced = async (requestId: string, traceparent: string) => {
      const metadata = new Metadata();
      metadata.set('traceparent', traceparent);
      const path = daemon.get().image(`${requestId}.qcow2`);
      const request = { path, format: 'qcow2', size: '1M', request_id: requestId };
      await daemon.get().stranger.all('ImageService/CreateImage', request, {}, metadata);
      const id = idOf(requestId);
      await daemon.get().logged(new RegExp(`"call".*${id}`));
      const lines = daemon
        .get()
        .records()
        .filter(({ operation_id: each }) => each === id);
      assert.equal(lines.length, 2);
      return lines.map(({ trace_id: each }) => each);
    };
    assert.deepEqual(await traced('traced-1', `00-${trace}-00f067aa0ba902b7-01`), [trace, trace]);
    for (const broken of [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `ff-${trace}-00f067aa0ba902b7-01`, 'none'])
      assert.deepEqual(await traced(`traced-${broken.slice(0, 4)}`, broken), [undefined, undefined]);
  });

  it('a failure is a warning with its reason and message', async () => {
    const request = { path: daemon.get().image('joined.qcow2'), format: 'qcow2', size: '2M', request_id: 'fails-1' };
    const error = await failure(daemon.get().stranger.operation('ImageService/ResizeImage', request));
    assert.equal(error.reason, 'NO_SPACE');
    const line = daemon
      .get()
      .records()
      .find(({ message, request_id: id }) => message === 'operation' && id === 'fails-1');
    assert.deepEqual([line?.['level'], line?.['reason'], line?.['why']], ['warn', 'NO_SPACE', error.message]);
  });

  it('one operation is shown with its steps and its child, whatever the level of the log is', async () => {
    await create(daemon.get().image('shown.qcow2'), { request_id: 'shown-1', preallocation: 'PREALLOCATION_FALLOC' });
    const id = idOf('shown-1');
    await daemon.get().logged(new RegExp(`"call".*${id}`));
    const lines = await linesOf(id);
    assert.ok(lines.some(({ message, facts }) => message === 'step' && facts?.['step'] === 'publish'));
    const child = lines.find(({ message }) => message === 'child')?.facts;
    assert.equal(child?.['tool'], 'qemu-img');
    assert.equal(child['code'], '0');
    assert.match(child['args'] ?? '', /^\["create"/);
    assert.match(child['args'] ?? '', /shown\.qcow2/);
    assert.equal(lines.at(-1)?.message, 'call');
    const { stdout } = await tryRun(HOSTLER, ['--address', daemon.get().address, 'ops', 'log', id]);
    assert.match(stdout, /debug child tool=qemu-img/);
    assert.match(stdout, /info {2}operation .*state=SUCCEEDED/);
  });

  it('of no operation there is no log', async () => {
    const unknown = '01JDQ0000000000000000000ZZ';
    const { reason } = await failure(
      daemon.get().stranger.unary('OperationService/GetOperationLog', { operation_id: unknown }),
    );
    assert.equal(reason, 'OPERATION_NOT_FOUND');
    const bad = await failure(daemon.get().stranger.unary('OperationService/GetOperationLog', { operation_id: 'x' }));
    assert.equal(bad.reason, 'INVALID_FIELD');
  });

  it('after SIGHUP it is said what was taken, and what needs a restart', async () => {
    const file = join(daemon.get().folder, 'hostler.toml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('[server]', '[server]\ndrain_seconds = 7'));
    await appendFile(file, '\n[[callers]]\nname = "cn:carol"\nrole = "viewer"\n');
    const { length } = daemon.get().log;
    daemon.get().process.kill('SIGHUP');
    await daemon.get().logged(/take effect at the next start/, length);
    const [taken, waits] = daemon.get().records().slice(-2);
    assert.deepEqual(taken?.['taken'], ['callers']);
    assert.deepEqual(waits?.['needs_restart'], ['server.drain_seconds']);
  });

  it('after SIGHUP a file that is wrong is named with its line, without a stack', async () => {
    const file = join(daemon.get().folder, 'hostler.toml');
    const text = await readFile(file, 'utf8');
    for (const [wrong, cause] of [
      [`${text}\nzz\n`, /^\S+hostler\.toml: line \d+, column \d+: [^\n]+$/],
      [text.replace('[server]', '[server]\ndrains = 7'), /^\S+hostler\.toml: server: unknown: drains$/],
    ] as const) {
      await writeFile(file, wrong);
      const from = daemon.get().log.length;
      daemon.get().process.kill('SIGHUP');
      await daemon.get().logged(/could not be read again: the old ones stay/, from);
      assert.match(String(daemon.get().records().at(-1)?.['cause']), cause);
    }
    await writeFile(file, text);
  });
});
