/** The glance source against a real Glance API server with a database and a file store. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { checkEach } from '../support/check-each.js';
import { Daemon, suiteDaemon } from '../support/daemon.js';
import { allocatedBytes, noise, sparseFile } from '../support/images/disks.js';
import { glanceServer, type UploadedImage } from '../support/servers/glance.js';
import { Line } from '../support/servers/line.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const LONG_BYTES = 40 * MIB;

describe('images of a Glance server', () => {
  const scratch = scratchFolder();
  const glance = glanceServer(scratch);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nattempts = 3\nbackoff_ms = 20\n[fetch.glance]\nendpoint = "${glance.endpoint}"\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  const image = (name: string) => daemon.get().image(name);
  const source = (id: string, more: Message = {}) => ({ glance: { image_id: id, ...more } });
  const fetch = async (request: Message) =>
    (await daemon.get().stranger.operation('ImageService/FetchImage', request))['fetch'] as Message;
  const long = noise(LONG_BYTES);
  let raw: Buffer;
  let qcow2: UploadedImage;
  let longId: string;

  before(async () => {
    await sparseFile(scratch.path('disk.raw'), 16 * MIB, [{ at: 4 * MIB, length: 3 * MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', '-c', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    raw = await readFile(scratch.path('disk.raw'));
    qcow2 = await glance.upload(scratch.path('disk.qcow2'), { disk_format: 'qcow2', min_disk: 2 });
    await writeFile(scratch.path('long.raw'), long);
    longId = (await glance.upload(scratch.path('long.raw'), { disk_format: 'raw' })).id;
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('fetched by its id, with the hash that Glance has, and made raw', async () => {
    const result = await fetch({ source: source(qcow2.id), target: image('made.raw'), target_format: 'raw' });
    assert.ok((await readFile(image('made.raw'))).equals(raw));
    assert.ok((await allocatedBytes(image('made.raw'))) < 4 * MIB);
    assert.equal(qcow2.os_hash_algo, 'sha512');
    assert.equal(result['checksum'], `sha512:${qcow2.os_hash_value}`);
  });
  it('an endpoint and a token may come with the request; the token is in no log', async () => {
    const token = 'TOPSECRET-0815';
    const here = source(qcow2.id, { endpoint: glance.endpoint, token });
    await fetch({ source: here, target: image('own-endpoint') });
    assert.ok(!daemon.get().log.includes(token));
  });
  it('data that is not what was uploaded is CHECKSUM_MISMATCH', async () => {
    const spoilt = await glance.upload(scratch.path('disk.qcow2'), { disk_format: 'qcow2' });
    const data = await open(glance.data(spoilt.id), 'r+');
    await data.write(Buffer.from('x'), 0, 1, 70_000);
    await data.close();
    const error = await failure(fetch({ source: source(spoilt.id), target: image('no') }));
    assert.equal(error.reason, 'CHECKSUM_MISMATCH');
    assert.equal(error.metadata['expected'], spoilt.os_hash_value);
  });
  it('min_disk and virtual_size are held against max_size_bytes before any data comes, with and without the cache', async () => {
    const line = await Line.to(glance.port);
    scratch.onEnd(() => line.close());
    const endpoint = `http://127.0.0.1:${String(line.port)}`;
    for (const use_cache of [false, true]) {
      const request = { source: source(qcow2.id, { endpoint }), target: image('no'), use_cache };
      const small = await failure(fetch({ ...request, max_size_bytes: String(GIB) }));
      assert.deepEqual([small.reason, small.metadata['min_disk_bytes']], ['IMAGE_TOO_LARGE', String(2 * GIB)]);
    }
    assert.ok(line.carriedBytes < 8192, 'metadata only');
    const rawImage = { source: source(longId), target: image('no'), max_size_bytes: String(LONG_BYTES - 1) };
    assert.equal((await failure(fetch(rawImage))).reason, 'IMAGE_TOO_LARGE');
    const listed = await daemon.get().stranger.unary('ImageService/ListCachedImages');
    assert.equal(listed['images'], undefined);
    await fetch({ source: source(qcow2.id), target: image('large-enough'), max_size_bytes: String(2 * GIB) });
  });
  it('an image that is not of its disk_format is refused', async () => {
    for (const [path, disk_format] of [
      ['disk.raw', 'qcow2'],
      ['disk.qcow2', 'vmdk'],
      ['disk.qcow2', 'raw'],
    ] as const) {
      const { id } = await glance.upload(scratch.path(path), { disk_format });
      const error = await failure(fetch({ source: source(id), target: image('no') }));
      assert.equal(error.reason, 'FORMAT_MISMATCH', `${path} as ${disk_format}`);
    }
  });
  it('an image without data is SOURCE_UNAVAILABLE, none at all is SOURCE_NOT_FOUND', async () => {
    const queued = await glance.create({ disk_format: 'raw' });
    const error = await failure(fetch({ source: source(queued), target: image('no') }));
    assert.deepEqual([error.reason, error.metadata['status']], ['SOURCE_UNAVAILABLE', 'queued']);
    const none = source('00000000-0000-4000-8000-000000000000');
    assert.equal((await failure(fetch({ source: none, target: image('no') }))).reason, 'SOURCE_NOT_FOUND');
  });
  it('a second caller gets it from the cache', async () => {
    const request = { source: source(longId), use_cache: true };
    const first = await fetch({ ...request, target: image('cached-1') });
    const second = await fetch({ ...request, target: image('cached-2') });
    assert.deepEqual([first['from_cache'] ?? false, second['from_cache']], [false, true]);
    assert.equal(second['network_bytes'] ?? '0', '0');
    assert.ok((await readFile(image('cached-2'))).equals(long));
  });
  it('a line that breaks is taken up by a range', async () => {
    // The first connection asks for the metadata.
    const line = await Line.to(glance.port, { cutAfter: { bytes: 15 * MIB, times: 3 } });
    scratch.onEnd(() => line.close());
    const endpoint = `http://127.0.0.1:${String(line.port)}`;
    await fetch({ source: source(longId, { endpoint }), target: image('broken') });
    assert.ok((await readFile(image('broken'))).equals(long));
    assert.ok(line.connections >= 4);
    assert.ok(line.carriedBytes < LONG_BYTES * 1.05, `${String(line.carriedBytes)} bytes were carried`);
  });
  it('killed in the middle, the same request goes on by a range', async () => {
    const line = await Line.to(glance.port, { bytesPerSecond: 10 * MIB });
    scratch.onEnd(() => line.close());
    const folder = scratch.path('killed');
    const request = {
      source: source(longId, { endpoint: `http://127.0.0.1:${String(line.port)}` }),
      target: `${folder}/images/target`,
    };
    const first = await Daemon.start(folder);
    const ended = new Promise((resolve) => {
      const stream = first.stranger.stream('ImageService/FetchImage', request);
      stream.on('data', () => undefined).once('error', resolve);
    });
    await until(() => line.carriedBytes >= LONG_BYTES * 0.8);
    first.process.kill('SIGKILL');
    await ended;
    first.stranger.close();
    const second = await Daemon.start(folder);
    scratch.onEnd(() => second.stop());
    await second.stranger.operation('ImageService/FetchImage', request);
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    assert.equal(hash(await readFile(request.target)), hash(long));
    assert.ok(line.carriedBytes < LONG_BYTES * 1.2, `${String(line.carriedBytes)} bytes were carried`);
    assert.deepEqual(await second.leftovers(), []);
  }).timeout(60_000);
});
