/** Images that become raw while they are downloaded: what goes wrong on the way leaves no trace. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { allocatedBytes, sparseFile } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { FaultServer, type Faults } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const TOML = '[log]\nlevel = "debug"\n[fetch]\nattempts = 4\nbackoff_ms = 10\nmax_backoff_ms = 20\n';

const isConvert = (args: unknown) => JSON.stringify(args).includes('convert');

describe('images that become raw while they arrive', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  let daemon: Daemon;
  let server: FaultServer;
  /** 20 MiB of data in a disk of 64 MiB, as raw and as qcow2; another one of 12 MiB. */
  let raw: Buffer;
  let qcow2: Buffer;
  let other: { readonly raw: Buffer; readonly qcow2: Buffer };
  const target = () => daemon.image('target');
  const made = async (name: string, at: number, lengthMib: number) => {
    await sparseFile(scratch.path(name), 64 * MIB, [{ at, length: lengthMib * MIB }]);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path(name), scratch.path(`${name}.qcow2`));
    return { raw: await readFile(scratch.path(name)), qcow2: await readFile(scratch.path(`${name}.qcow2`)) };
  };
  const request = (name: string, content: Buffer, faults: Faults = {}, more: Message = {}) => ({
    source: { http: { url: server.add(name, content, faults) } },
    target: target(),
    target_format: 'raw',
    use_cache: false,
    ...more,
  });
  const fetch = (asked: Message) => daemon.stranger.operation('ImageService/FetchImage', asked);
  const running = async () => {
    const filter = { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_CANCELLING'] };
    const { operations = [] } = await daemon.stranger.unary('OperationService/ListOperations', { filter });
    return operations as Message[];
  };
  /** How often a tool has converted an image. */
  const conversions = () =>
    daemon.records().filter(({ message, tool, args }) => message === 'child' && tool === 'qemu-img' && isConvert(args))
      .length;
  const checksum = (content: Buffer) => ({
    algorithm: 'sha256',
    digest: createHash('sha256').update(content).digest('hex'),
  });

  before(async () => {
    ({ raw, qcow2 } = await made('disk', 3 * MIB, 20));
    other = await made('other', 30 * MIB, 12);
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    daemon = await Daemon.start(scratch.path('daemon'), { toml: TOML });
    scratch.onEnd(() => daemon.stop());
  });
  afterEach(() => rm(target(), { force: true }));
  checkEach(async () => assert.deepEqual(await daemon.leftovers(), []));

  it('no tool converts them', async () => {
    await fetch(request('plain', qcow2, {}, { checksum: checksum(qcow2) }));
    assert.ok((await readFile(target())).equals(raw));
    assert.ok((await allocatedBytes(target())) <= 21 * MIB);
    assert.equal(conversions(), 0);
  });

  it('a tool converts a small one: that takes less than a thread', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', scratch.path('small'), '1M');
    await fetch(request('small', await readFile(scratch.path('small'))));
    assert.equal((await stat(target())).size, MIB);
    assert.equal(conversions(), 1);
  });

  it('a line that breaks three times', async () => {
    await fetch(request('cut', qcow2, { cutAfter: { bytes: 6 * MIB, times: 3 } }));
    assert.ok((await readFile(target())).equals(raw));
    assert.equal(conversions(), 1);
  });

  it('other content after the line broke', async () => {
    const faults = { cutAfter: { bytes: 10 * MIB, times: 1 }, laterContent: other.qcow2 };
    await fetch(request('changed', qcow2, faults));
    assert.ok((await readFile(target())).equals(other.raw));
  });

  it('a wrong checksum: nothing is published', async () => {
    const wrong = request('wrong', qcow2, {}, { checksum: checksum(raw) });
    assert.equal((await failure(fetch(wrong))).reason, 'CHECKSUM_MISMATCH');
    assert.ok(!existsSync(target()));
  });

  it('an image that names a base: nothing is published', async () => {
    const bytes = Buffer.from(qcow2);
    bytes.writeBigUInt64BE(512n, 8);
    bytes.writeUInt32BE(11, 16);
    bytes.write('/etc/passwd', 512);
    assert.equal((await failure(fetch(request('base', bytes)))).reason, 'IMAGE_UNSAFE');
    assert.ok(!existsSync(target()));
  });

  it('an image that ends early is refused as a whole one is judged', async () => {
    const cut = qcow2.subarray(0, 12 * MIB);
    const early = await failure(fetch(request('early', cut)));
    const late = await failure(fetch({ ...request('late', cut), target_format: 'qcow2' }));
    assert.equal(early.reason, late.reason);
    assert.ok(!existsSync(target()));
  });

  it('a cancel in the middle', async () => {
    const slow = request('slow', qcow2, { bytesPerSecond: 8 * MIB });
    const stream = daemon.stranger.stream('ImageService/FetchImage', slow);
    const ended = new Promise<unknown>((resolve) => stream.once('error', resolve));
    await new Promise<void>((resolve) => {
      stream.on('data', ({ progress }: { progress?: Message }) => {
        if (Number(progress?.['done_bytes'] ?? 0) > 5 * MIB) resolve();
      });
    });
    stream.cancel();
    await ended;
    await until(async () => (await running()).length === 0);
    assert.ok(!existsSync(target()));
  });

  it('a daemon that is killed in the middle goes on, and makes the disk of all that came', async () => {
    const folder = scratch.path('killed');
    const first = await Daemon.start(folder, {
      toml: `${TOML}[debug]\nfailpoints = ["FetchImage:convert:kill"]\n`,
    });
    const asked = { ...request('killed', qcow2, {}, { request_id: 'killed' }), target: first.image('target') };
    await failure(first.stranger.all('ImageService/FetchImage', asked));
    first.stranger.close();
    assert.equal(await first.exited, null);
    const second = await Daemon.start(folder, { toml: TOML });
    try {
      await second.stranger.operation('ImageService/FetchImage', asked);
      assert.ok((await readFile(second.image('target'))).equals(raw));
      assert.equal(server.file('killed').sentBytes, qcow2.length);
      assert.deepEqual(await second.leftovers(), []);
    } finally {
      await second.stop();
    }
  });
});
