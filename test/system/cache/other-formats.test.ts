/** One download for each content, whatever formats it is wanted in. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise, sparseFile } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });

describe('an image of the cache that is wanted in another format', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nbackoff_ms = 20\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  const image = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const fetch = async (request: Message) =>
    (await call('FetchImage', { use_cache: true, ...request }))['fetch'] as Message;
  let server: FaultServer;
  let qcow2: Buffer;
  let made = 0;

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 8 * MIB, [{ at: MIB, length: 2 * MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', '-c', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    qcow2 = await readFile(scratch.path('disk.qcow2'));
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  /** A source that nobody has asked before, of the same content. */
  const added = (content: Buffer, faults: Parameters<FaultServer['add']>[2] = {}) => {
    const name = `image-${String(made++)}`;
    const url = server.add(name, content, faults);
    const contentRequests = () => server.file(name).seen.filter((headers) => headers['if-none-match'] === undefined);
    return { name, source: { http: { url, headers: {} } }, contentRequests };
  };
  const same = (path: string, format: string) =>
    sh('qemu-img', 'compare', '-f', format, '-F', 'raw', path, scratch.path('disk.raw'));

  for (const [first, second] of [
    ['', 'raw'],
    ['', 'vmdk'],
    ['raw', 'qcow2'],
    ['qcow2', 'raw'],
    ['qcow2', 'vdi'],
  ] as const)
    it(`${first || 'as it came'}, then ${second}: one download`, async () => {
      const { name, source, contentRequests } = added(qcow2);
      const target = (format: string) => image(`${name}-${format || 'kept'}`);
      const before = await fetch({ source, target: target(first), target_format: first, checksum: sha256(qcow2) });
      assert.equal(before['network_bytes'], String(qcow2.length));
      const result = await fetch({ source, target: target(second), target_format: second, checksum: sha256(qcow2) });
      assert.equal(contentRequests().length, 1);
      assert.deepEqual(
        [result['network_bytes'] ?? '0', result['from_cache'], result['checksum']],
        ['0', true, before['checksum']],
      );
      await same(target(second), second);
      const again = await fetch({
        source,
        target: image(`${name}-again`),
        target_format: second,
        checksum: sha256(qcow2),
      });
      assert.equal(again['cache_id'], result['cache_id']);
    });

  it('of several at once one brings it', async () => {
    const { name, source, contentRequests } = added(qcow2, { bytesPerSecond: 4 * MIB });
    const formats = ['raw', 'qcow2', '', 'vmdk', 'raw', 'vdi', 'qcow2'];
    const target = (n: number) => image(`${name}-${String(n)}`);
    await Promise.all(
      formats.map((format, n) => fetch({ source, target: target(n), target_format: format, checksum: sha256(qcow2) })),
    );
    // As it came it cannot be made of another format.
    assert.ok(contentRequests().length <= 2, String(contentRequests().length));
    for (const [n, format] of formats.entries()) await same(target(n), format || 'qcow2');
  });

  it('what is in that format already is given as it is', async () => {
    const raw = await readFile(scratch.path('disk.raw'));
    const { name, source, contentRequests } = added(raw);
    const kept = await fetch({ source, target: image(`${name}-kept`), source_format: 'raw' });
    const result = await fetch({ source, target: image(`${name}-raw`), source_format: 'raw', target_format: 'raw' });
    assert.equal(result['cache_id'], kept['cache_id']);
    assert.equal(contentRequests().length, 1);
  });

  it('as it came is never made of what was converted', async () => {
    const { name, source, contentRequests } = added(qcow2);
    await fetch({ source, target: image(`${name}-raw`), target_format: 'raw', checksum: sha256(qcow2) });
    await fetch({ source, target: image(`${name}-kept`), checksum: sha256(qcow2) });
    assert.ok((await readFile(image(`${name}-kept`))).equals(qcow2));
    assert.equal(contentRequests().length, 2);
  });

  it('a size that a format rounds is not taken on by the next one', async () => {
    const odd = noise(MIB + 512, 5);
    const { name, source } = added(odd);
    const request = { source, source_format: 'raw', checksum: sha256(odd) };
    await fetch({ ...request, target: image(`${name}-vpc`), target_format: 'vpc' });
    await fetch({ ...request, target: image(`${name}-raw`), target_format: 'raw' });
    assert.ok((await readFile(image(`${name}-raw`))).equals(odd));
  });

  it('a source that has another content by now is asked for that', async () => {
    const later = noise(2 * MIB, 6);
    const { name, source } = added(noise(2 * MIB, 7), { laterContent: later });
    await fetch({ source, target: image(`${name}-first`), source_format: 'raw' });
    const result = await fetch({
      ...{ source, target: image(`${name}-second`), source_format: 'raw', target_format: 'qcow2' },
    });
    assert.equal(result['from_cache'] ?? false, false);
    await sh('qemu-img', 'convert', '-O', 'raw', image(`${name}-second`), scratch.path('second'));
    assert.ok((await readFile(scratch.path('second'))).equals(later));
  });

  it('an encrypted one says that its passphrase is missing', async () => {
    const luks = ['-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', '1M'];
    await sh('qemu-img', 'create', '-q', '--object', 'secret,id=s,data=x', '-f', 'qcow2', scratch.path('l'), ...luks);
    const content = await readFile(scratch.path('l'));
    const { name, source } = added(content);
    const request = { source, source_format: 'qcow2', checksum: sha256(content) };
    await fetch({ ...request, target: image(`${name}-kept`) });
    const asRaw = fetch({ ...request, target: image(`${name}-raw`), target_format: 'raw' });
    assert.equal((await failure(asRaw)).reason, 'SECRET_REQUIRED');
  });

  it('the entry that it was made of can be evicted afterwards', async () => {
    const { name, source } = added(qcow2);
    const kept = await fetch({ source, target: image(`${name}-kept`), checksum: sha256(qcow2) });
    await fetch({ source, target: image(`${name}-raw`), target_format: 'raw', checksum: sha256(qcow2) });
    await call('EvictCachedImages', { cache_ids: [kept['cache_id']] });
    const { images = [] } = await daemon.get().stranger.unary('ImageService/ListCachedImages');
    assert.ok((images as Message[]).every(({ cache_id: id }) => id !== kept['cache_id']));
    await fetch({ source, target: image(`${name}-again`), target_format: 'raw', checksum: sha256(qcow2) });
    await same(image(`${name}-again`), 'raw');
  });
});
