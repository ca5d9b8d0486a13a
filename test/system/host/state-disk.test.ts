/** The disk of the state folder fails, is full, or is damaged, under a daemon. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, HOSTLER } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultFilesystem, type Fault } from '../../support/faults/fault-filesystem.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const FULL: Fault = { kinds: ['write'], errno: 'ENOSPC', times: 0, match: '/state/journal' };

describe('the disk of the state folder', () => {
  const scratch = scratchFolder();
  let disk: FaultFilesystem;
  let daemon: Daemon;
  const folder = () => scratch.path('daemon');
  const state = () => join(disk.path, 'state');
  const start = () => Daemon.start(folder(), { stateFolder: state(), http: '127.0.0.1:0' });
  const create = (name: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CreateImage', {
      path: daemon.image(name),
      format: 'raw',
      size: '1M',
      ...more,
    });
  const resize = (name: string, size: string) =>
    daemon.stranger.operation('ImageService/ResizeImage', { path: daemon.image(name), format: 'raw', size });
  const writable = async () => (await daemon.metrics()).includes('\nhostler_state_writable 1\n');
  const listed = async () => {
    const { operations } = await daemon.stranger.unary('OperationService/ListOperations', { page_size: 1000 });
    return (operations as { operation_id: string; last: { state: string } }[]).map(({ operation_id: id, last }) => [
      id,
      last.state,
    ]);
  };

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    daemon = await start();
    scratch.onEnd(() => daemon.stop());
  });
  afterEach(() => disk.heal());

  it('is full: changes are refused with one reason, reads go on, and it goes on by itself', async () => {
    await create('a', { request_id: 'r' });
    const [[id] = []] = await listed();
    await disk.fail(FULL);
    const first = await failure(create('b'));
    assert.deepEqual([first.reason, existsSync(daemon.image('b'))], ['STATE_UNAVAILABLE', false]);
    const second = await failure(create('c'));
    assert.equal(second.reason, 'STATE_UNAVAILABLE');
    assert.equal(second.code, 14);
    assert.match(second.message, /state folder .* cannot be written: .*full/);
    assert.ok(second.retryDelay !== undefined);
    assert.equal(await writable(), false);
    // What only reads goes on, and so does the answer to a request that was carried out before.
    await daemon.stranger.unary('OperationService/GetOperation', { operation_id: id });
    await daemon.stranger.unary('ImageService/GetImageInfo', { path: daemon.image('a') });
    await create('a', { request_id: 'r' });
    assert.equal((await listed()).length, 1);
    await disk.heal();
    await until(writable);
    await create('b');
    const messages = daemon.records().map(({ message }) => message);
    assert.ok(messages.includes('the journal cannot be written: changes are refused'));
    assert.ok(messages.includes('the journal can be written again'));
    const before = await listed();
    assert.ok(
      before.every(([, each]) => each === 'OPERATION_STATE_SUCCEEDED'),
      JSON.stringify(before),
    );
    assert.equal(await daemon.stop(), 0);
    daemon = await start();
    assert.deepEqual(await listed(), before);
    assert.deepEqual(
      (await readdir(state())).filter((name) => name.includes('broken')),
      [],
    );
  });

  it('fails before the publish: nothing is published; after it: what was done is told', async () => {
    writeFileSync(daemon.image('source'), noise(8 << 20));
    const copy = (target: string, more: Message = {}) =>
      daemon.stranger.stream('ImageService/CopyImage', {
        source: daemon.image('source'),
        target: daemon.image(target),
        bandwidth_bytes_per_second: String(6 << 20),
        ...more,
      });
    const events: Message[] = [];
    const call = copy('slow', { request_id: 'slow' });
    const ended = new Promise<Error>((resolve) => call.once('error', resolve));
    call.on('data', (event: Message) => events.push(event));
    await until(() => events.some((event) => event['state'] === 'OPERATION_STATE_RUNNING'));
    await disk.fail({ kinds: ['fsync'], errno: 'EIO', times: 0, match: '/state/journal' });
    assert.match(String(await ended), /UNAVAILABLE/);
    assert.equal(existsSync(daemon.image('slow')), false);
    assert.deepEqual(await daemon.leftovers(), []);
    const id = String(events[0]?.['operation_id']);
    const shown = async () => {
      const { operation } = await daemon.stranger.unary('OperationService/GetOperation', { operation_id: id });
      return (operation as { last: { state: string } }).last.state;
    };
    assert.equal(await shown(), 'OPERATION_STATE_FAILED');
    await disk.heal();
    await until(writable);
    assert.equal(await shown(), 'OPERATION_STATE_FAILED');
    await create('grows');
    await resize('grows', '2M');
  });

  it('a start on a full disk is refused in one line, and moves nothing', async () => {
    await daemon.stop();
    const before = (await readdir(state())).sort();
    await disk.fail(FULL);
    const refused = await Daemon.spawn(folder(), { stateFolder: state() });
    assert.equal(await refused.exited, 1);
    const said = refused.log.trim().split('\n').at(-1) ?? '';
    assert.match(said, /^hostlerd: the journal .*\/state\/journal\.sqlite cannot be opened: .*full/);
    await disk.heal();
    assert.deepEqual(
      (await readdir(state())).filter((name) => name.includes('broken')),
      [],
    );
    assert.ok(before.every((name) => existsSync(join(state(), name))));
    daemon = await start();
  });

  it('is damaged: what can be read goes on, nothing is swept, and the command tells of it', async () => {
    for (let n = 0; n < 12; n++)
      await create(`d${String(n)}`, {
        labels: Object.fromEntries(['pad', 'b', 'c', 'd'].map((key) => [key, 'x'.repeat(240)])),
      });
    const before = await listed();
    assert.equal(await daemon.stop(), 0);
    const file = join(state(), 'journal.sqlite');
    const bytes = readFileSync(file);
    // The last page of the operations' own rows: found by what is in it.
    const page = Math.floor(bytes.lastIndexOf(Buffer.from('"pad":"xxxx')) / 4096) * 4096;
    writeFileSync(file, Buffer.concat([bytes.subarray(0, page), Buffer.alloc(4096, 7), bytes.subarray(page + 4096)]));
    daemon = await start();
    const moved = daemon.records().find(({ message }) => String(message).includes('moved aside'));
    assert.equal(moved?.['level'], 'error');
    const after = await listed();
    assert.ok(after.length < before.length && after.length > 0, `${String(after.length)} of ${String(before.length)}`);
    for (const each of after) assert.ok(before.some(([id]) => id === each[0]));
    await create('after');
    const status = () => tryRun(HOSTLER, ['--json', 'journal', 'status', state()]);
    const busy = await status();
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /a daemon works with .*: stop it first/);
    await daemon.stop();
    const { code, stdout } = await status();
    assert.equal(code, 1, 'something is damaged');
    const { journals } = JSON.parse(stdout) as { journals: Survey[] };
    const [now, aside] = journals;
    assert.deepEqual([now?.path, now?.problem, now?.unreadable], [file, undefined, 0]);
    assert.equal(now?.readable['operation'], after.length + 1);
    assert.match(aside?.path ?? '', /journal\.sqlite\.broken-/);
    assert.ok(aside?.problem !== undefined || (aside?.unreadable ?? 0) > 0, JSON.stringify(aside));
    const to = scratch.path('salvaged.sqlite');
    const salvage = await tryRun(HOSTLER, ['journal', 'salvage', aside?.path ?? '', to]);
    assert.equal(salvage.code, 0, salvage.stderr);
    const again = await tryRun(HOSTLER, ['--json', 'journal', 'status', to]);
    const [salvaged] = (JSON.parse(again.stdout) as { journals: Survey[] }).journals;
    assert.equal(salvaged?.readable['operation'], after.length);
    assert.equal((await tryRun(HOSTLER, ['journal', 'salvage', aside?.path ?? '', to])).code, 1);
    daemon = await start();
  });
});

interface Survey {
  readonly path: string;
  readonly readable: Record<string, number>;
  readonly unreadable: number;
  readonly problem?: string;
}
