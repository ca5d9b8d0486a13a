/**
 * What RPCs promise that move bytes between a caller and this host, and how many of them may be at
 * work.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { callByName } from '../../support/reasons/work.js';
import { fakeTools } from '../../support/reasons/tools.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const EXPORTS = '[exports]\nhost = "agent.example"\naddress = "127.0.0.1"\n';
/** At work at once, as assemble.ts fixes them. */
const [READERS, OPEN] = [32, 64];
/** Callers beside the suite's own. */
const OTHERS = ['first', 'second'];

describe('what an RPC promises of transfers', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let content: Buffer;

  /** A daemon for a part of the suite. */
  function daemonOf(options: () => Promise<DaemonOptions> | DaemonOptions): void {
    before(async () => {
      daemon = await Daemon.start(scratch.path('daemon'), await options());
    });
    after(() => daemon.stop());
  }
  const call = (rpc: string, request: Message) => callByName(daemon.stranger, rpc, request);
  const open = (name: string, more: Message = {}) =>
    daemon.stranger.unary('ImageService/OpenExport', { path: daemon.image(name), peer: 'agent-b', ...more });
  const start = (name: string, more: Message = {}, caller: Stranger = daemon.stranger) =>
    caller.unary('ImageService/StartUpload', {
      target: daemon.image(name),
      format: 'qcow2',
      length_bytes: String(content.length),
      ...more,
    });
  const send = ({ upload_id }: Message, data: Buffer) => {
    const digest = createHash('sha256').update(data).digest('hex');
    return daemon.stranger.send('ImageService/UploadImage', [
      { header: { upload_id } },
      { data },
      { checksum: { algorithm: 'sha256', digest } },
    ]);
  };
  async function assertFails(work: Promise<unknown>, reason: string): Promise<void> {
    const error = await failure(work);
    assert.equal(error.reason, reason, error.message);
  }
  /** What an operation has come to. */
  const endOf = async (operation_id: unknown): Promise<string> => {
    let state: unknown;
    let last: Message = {};
    await until(async () => {
      const answer = await daemon.stranger.unary('OperationService/GetOperation', { operation_id });
      last = ((answer['operation'] as Message)['last'] ?? {}) as Message;
      state = last['state'];
      return /FAILED|CANCELLED|SUCCEEDED/.test(String(state));
    });
    return JSON.stringify(last['error']);
  };

  before(async () => {
    await mkdir(scratch.path('daemon/images'), { recursive: true });
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', scratch.path('daemon/images/good'), '1M');
    content = await readFile(scratch.path('daemon/images/good'));
  });

  describe('with a daemon as it is', () => {
    daemonOf(() => ({ toml: `${EXPORTS}idle_seconds = 1\nports = "16530-16530"\n` }));

    it('UploadImage: IMAGE_MALFORMED', async () => {
      const broken = Buffer.from(content);
      // The size of its clusters.
      broken.writeUInt32BE(63, 20);
      await assertFails(send(await start('broken'), broken), 'IMAGE_MALFORMED');
    });
    it('UploadImage: TARGET_EXISTS', async () => {
      const upload = await start('taken');
      await writeFile(daemon.image('taken'), 'x');
      await assertFails(send(upload, content), 'TARGET_EXISTS');
    });
    it('CloseExport: SOURCE_CHANGED', async () => {
      await writeFile(daemon.image('changed'), content);
      const { export_id } = await open('changed');
      await appendFile(daemon.image('changed'), 'x');
      await assertFails(call('CloseExport', { export_id }), 'SOURCE_CHANGED');
    });
    it('OpenExport: TOO_MANY_OPERATIONS, as every port is taken; EXPIRED, as nobody comes', async () => {
      const { operation_id } = await open('good');
      await assertFails(open('good'), 'TOO_MANY_OPERATIONS');
      assert.match(await endOf(operation_id), /nobody|time is over|closed/);
    });
  });

  describe('of a disk that is full', () => {
    daemonOf(() => ({ toml: '[debug]\nfailpoints = ["UploadImage:verify:NO_SPACE"]\n' }));
    it('UploadImage: NO_SPACE', async () => assertFails(send(await start('new'), content), 'NO_SPACE'));
  });

  it('StartUpload: SHUTTING_DOWN', async () => {
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: '[debug]\nfailpoints = ["UploadImage:started:pause"]\n',
      server: 'drain_seconds = 0',
    });
    const begun = failure(start('stopped'));
    await daemon.logged(/"method":"UploadImage".*"step":"started"/);
    daemon.process.kill('SIGTERM');
    await daemon.logged(/draining|stopping/i);
    daemon.process.kill('SIGUSR2');
    assert.equal((await begun).reason, 'SHUTTING_DOWN');
    await daemon.exited;
  });

  describe('of tools that fail', () => {
    daemonOf(async () => {
      const PATH = await fakeTools(scratch.path('tools'), { 'qemu-img': 'echo "it failed" >&2\nexit 1' });
      return { env: { PATH }, toml: '[sandbox]\nmode = "off"\n' };
    });
    it('UploadImage: TOOL_FAILED', async () => assertFails(send(await start('new'), content), 'TOOL_FAILED'));
  });

  describe('of tools that hang', () => {
    daemonOf(async () => {
      const PATH = await fakeTools(scratch.path('hanging'), { 'qemu-img': 'exec sleep 600' });
      return {
        env: { PATH },
        // Sixty-four uploads begin in one turn.
        heldMs: 500,
        toml: [
          ...OTHERS.map((name) => `[[listeners]]\naddress = "${socket(name)}"\nrole = "admin"`),
          '[limits]\ncallers_part = 1\nqueued_operations = 0\n[limits.foreign]\nwall_seconds = 1\n[sandbox]\nmode = "off"\n',
        ].join('\n'),
      };
    });
    it('UploadImage: TOOL_LIMIT_EXCEEDED', async () =>
      assertFails(send(await start('new'), content), 'TOOL_LIMIT_EXCEEDED'));
    const socket = (name: string) => `unix://${scratch.path('daemon')}/${name}.sock`;
    let others: readonly Stranger[] = [];
    before(() => (others = OTHERS.map((name) => new Stranger(socket(name)))));
    after(() => others.forEach((other) => other.close()));

    it('MapImage, MeasureImage, DownloadImage, BatchGetImageInfo: TOO_MANY_OPERATIONS', async () => {
      const path = daemon.image('good');
      const request = { path, format: 'qcow2', target_format: 'raw' };
      const maps = others.map((other) =>
        Array.from({ length: READERS / 2 + 1 }, () => other.stream('ImageService/MapImage', request)),
      );
      // Each has as many at work as one caller may; together they have all.
      for (const own of maps) await Promise.race(own.map((map) => new Promise((end) => map.resume().on('error', end))));
      await assertFails(daemon.stranger.all('ImageService/MapImage', request), 'TOO_MANY_OPERATIONS');
      await assertFails(call('MeasureImage', request), 'TOO_MANY_OPERATIONS');
      await assertFails(call('DownloadImage', { path }), 'TOO_MANY_OPERATIONS');
      await assertFails(call('BatchGetImageInfo', { paths: [path] }), 'TOO_MANY_OPERATIONS');
      for (const map of maps.flat()) map.cancel();
    });
    it('StartUpload: TOO_MANY_OPERATIONS', async () => {
      // One that is not the other's: so it meets the bound of all before its own.
      await start('own');
      const [other] = others;
      const many = Array.from({ length: OPEN }, (_, at) => start(`many-${String(at)}`, {}, other));
      await assertFails(Promise.all(many), 'TOO_MANY_OPERATIONS');
    });
  });
});
