/** FetchImage and FetchRawImage from web servers that behave and that do not. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, noise, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { installed, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const QUICK = `[fetch]
attempts = 4
backoff_ms = 20
max_backoff_ms = 100
stall_seconds = 1
min_bytes_per_second = 1000
max_bytes = ${String(64 * MIB)}
`;

const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });

describe('fetching', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, { toml: QUICK });
  const image = (name: string) => daemon.get().image(name);
  let server: FaultServer;
  const fetch = async (request: Message) =>
    (await daemon.get().stranger.operation('ImageService/FetchImage', request))['fetch'] as Message;
  const fetchRaw = async (request: Message) =>
    (await daemon.get().stranger.operation('ImageService/FetchRawImage', request))['fetch'] as Message;
  const http = (url: string, headers = {}) => ({ http: { url, headers } });

  let raw: Buffer;
  let qcow2: Buffer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 16 * MIB, [
      { at: 0, length: 2 * MIB },
      { at: 9 * MIB, length: 3 * MIB },
    ]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', '-c', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    raw = await readFile(scratch.path('disk.raw'));
    qcow2 = await readFile(scratch.path('disk.qcow2'));
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('parity row 8: fetches a qcow2, checks it and makes it raw', async () => {
    const url = server.add('row8.qcow2', qcow2);
    const result = await fetch({
      source: http(url),
      target: image('row8.raw'),
      target_format: 'raw',
      checksum: sha256(qcow2),
    });
    assert.deepEqual(await readFile(image('row8.raw')), raw);
    assert.equal(result['network_bytes'], String(qcow2.length));
    assert.equal(result['checksum'], `sha256:${sha256(qcow2).digest}`);
    assert.equal((result['info'] as Message)['format'], 'raw');
  });
  it('parity row 8: without a target format the image stays what it is', async () => {
    await fetch({ source: http(server.add('same.qcow2', qcow2)), target: image('same.qcow2') });
    assert.deepEqual(await readFile(image('same.qcow2')), qcow2);
  });
  it('parity row 8: raw stays raw, and its zeros become holes', async () => {
    await fetch({ source: http(server.add('holes.raw', raw)), target: image('holes.raw'), target_format: 'raw' });
    assert.deepEqual(await readFile(image('holes.raw')), raw);
    assert.ok((await allocatedBytes(image('holes.raw'))) < 6 * MIB);
  });
  it('parity row 8: an image larger than max_size_bytes, or backed by another, is refused', async () => {
    const source = http(server.add('large.qcow2', qcow2));
    const large = await failure(fetch({ source, target: image('no'), max_size_bytes: String(16 * MIB - 1) }));
    assert.equal(large.reason, 'IMAGE_TOO_LARGE');
    await fetch({ source, target: image('fits'), max_size_bytes: String(16 * MIB) });
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-u',
      '-F',
      'raw',
      '-b',
      '/etc/passwd',
      scratch.path('b.qcow2'),
      '1M',
    );
    const backed = await failure(
      fetch({ source: http(server.add('b.qcow2', await readFile(scratch.path('b.qcow2')))), target: image('no') }),
    );
    assert.equal(backed.reason, 'IMAGE_UNSAFE');
    assert.ok(!existsSync(image('no')));
  });
  it('parity row 9: fetches bytes as they are', async () => {
    const kernel = noise(MIB + 77);
    const result = await fetchRaw({ source: http(server.add('kernel', kernel)), target: image('kernel') });
    assert.deepEqual(await readFile(image('kernel')), kernel);
    assert.equal(result['length_bytes'], String(kernel.length));
    const error = await failure(
      fetchRaw({ source: http(`${server.origin}/kernel`), target: image('k2'), max_size_bytes: String(MIB) }),
    );
    assert.equal(error.reason, 'IMAGE_TOO_LARGE');
  });
  it('parity rows 8 and 9: from a file of this host', async () => {
    await writeFile(image('here.qcow2'), qcow2);
    const source = { file: { path: image('here.qcow2') } };
    await fetch({ source, target: image('here.raw'), target_format: 'raw', checksum: sha256(qcow2) });
    assert.deepEqual(await readFile(image('here.raw')), raw);
    await fetchRaw({ source, target: image('here.copy') });
    assert.deepEqual(await readFile(image('here.copy')), qcow2);
    const error = await failure(fetchRaw({ source, target: image('no'), checksum: sha256(raw) }));
    assert.equal(error.reason, 'CHECKSUM_MISMATCH');
  });
  for (const [algorithm, name] of [
    ['sha512', 'sha512'],
    ['md5', 'md5'],
    ['blake2b512', 'blake2b512'],
  ] as const)
    it(`verifies ${algorithm}`, async () => {
      const digest = createHash(name).update(qcow2).digest('hex');
      const url = server.add(`sum-${name}`, qcow2);
      await fetch({
        source: http(url),
        target: image(`sum-${name}`),
        checksum: { algorithm, digest: digest.toUpperCase() },
      });
      const wrong = { algorithm, digest: '0'.repeat(digest.length) };
      const error = await failure(fetch({ source: http(url), target: image('no'), checksum: wrong }));
      assert.deepEqual([error.reason, error.code], ['CHECKSUM_MISMATCH', status.DATA_LOSS]);
    });

  describe('compressed', () => {
    it('gzip', async () => {
      const url = server.add('disk.qcow2.gz', gzipSync(qcow2));
      await fetch({ source: http(url), target: image('gz.raw'), target_format: 'raw' });
      assert.deepEqual(await readFile(image('gz.raw')), raw);
    });
    const packedBy = async (tool: string) => {
      const packed = scratch.path(`disk.${tool}`);
      await sh('sh', '-c', '"$1" -q -c "$2" >"$3"', 'sh', tool, scratch.path('disk.raw'), packed);
      return readFile(packed);
    };
    for (const tool of ['xz', 'zstd', 'bzip2'])
      it(tool, async function () {
        needs(this, installed(tool), `${tool} is not installed`);
        const url = server.add(`disk.${tool}`, await packedBy(tool));
        await fetch({ source: http(url), target: image(`${tool}.raw`) });
        assert.deepEqual(await readFile(image(`${tool}.raw`)), raw);
        assert.ok((await allocatedBytes(image(`${tool}.raw`))) < 6 * MIB);
      });
    it('a truncated gzip is IMAGE_MALFORMED', async () => {
      const packed = gzipSync(qcow2);
      const url = server.add('short.gz', packed.subarray(0, packed.length - 1000));
      assert.equal((await failure(fetch({ source: http(url), target: image('no') }))).reason, 'IMAGE_MALFORMED');
    });
    for (const tool of ['xz', 'zstd', 'bzip2'])
      it(`a truncated ${tool} is IMAGE_MALFORMED`, async function () {
        needs(this, installed(tool), `${tool} is not installed`);
        const packed = await packedBy(tool);
        const url = server.add(`short.${tool}`, packed.subarray(0, packed.length - 1000));
        assert.equal((await failure(fetch({ source: http(url), target: image('no') }))).reason, 'IMAGE_MALFORMED');
      });
    for (const [tool, words] of [
      ['gzip', []],
      ['xz', []],
      ['zstd', []],
    ] as const)
      it(`a bomb of ${tool} is IMAGE_TOO_LARGE`, async () => {
        const path = scratch.path(`bomb.${tool}`);
        await sh('sh', '-c', 'head -c 400M /dev/zero | "$1" -q -c >"$2"', 'sh', tool, path, ...words);
        const url = server.add(`bomb.${tool}`, await readFile(path));
        assert.equal((await failure(fetch({ source: http(url), target: image('no') }))).reason, 'IMAGE_TOO_LARGE');
      });
  });

  describe('servers that misbehave', () => {
    const attempt = (url: string, more: Message = {}) =>
      failure(fetch({ source: http(url), target: image('no'), ...more }));

    it('404 is SOURCE_NOT_FOUND, 403 SOURCE_REFUSED, at once', async () => {
      assert.equal((await attempt(`${server.origin}/nothing`)).reason, 'SOURCE_NOT_FOUND');
      const url = server.add('forbidden', qcow2, { status: { code: 403, times: 100 } });
      assert.equal((await attempt(url)).reason, 'SOURCE_REFUSED');
      assert.equal(server.file('forbidden').requests, 1);
    });
    it('503 three times out of four is no failure', async () => {
      const url = server.add('busy', qcow2, { status: { code: 503, times: 3, retryAfter: '0' } });
      await fetch({ source: http(url), target: image('busy') });
      assert.equal(server.file('busy').requests, 4);
    });
    it('503 for ever is SOURCE_UNAVAILABLE', async () => {
      const error = await attempt(server.add('down', qcow2, { status: { code: 503, times: 100 } }));
      assert.deepEqual([error.reason, error.code], ['SOURCE_UNAVAILABLE', status.UNAVAILABLE]);
      assert.equal(server.file('down').requests, 4);
    });
    it('a line that breaks is taken up where it broke', async () => {
      const content = noise(8 * MIB);
      const url = server.add('broken', content, { cutAfter: { bytes: 3 * MIB, times: 2 } });
      const result = await fetchRaw({ source: http(url), target: image('broken'), checksum: sha256(content) });
      assert.deepEqual(await readFile(image('broken')), content);
      assert.equal(result['network_bytes'], String(content.length));
      assert.equal(server.file('broken').sentBytes, content.length);
    });
    it('without ranges, or with the whole file for a range, it begins again and says so', async () => {
      const content = noise(4 * MIB);
      for (const [name, faults] of Object.entries({ plain: { noRanges: true }, whole: { wholeForRange: true } })) {
        const url = server.add(name, content, { ...faults, cutAfter: { bytes: 3 * MIB, times: 1 } });
        await fetchRaw({ source: http(url), target: image(name), checksum: sha256(content), labels: { again: name } });
        assert.deepEqual(await readFile(image(name)), content);
        const found = await daemon
          .get()
          .stranger.unary('OperationService/ListOperations', { filter: { labels: { again: name } } });
        const [operation] = found['operations'] as { warnings?: { reason: string }[] }[];
        assert.deepEqual(
          operation?.warnings?.map(({ reason }) => reason),
          ['TRANSFER_RESTARTED'],
        );
      }
    });
    it('without ranges and always broken it is given up', async () => {
      const url = server.add('hopeless', noise(2 * MIB), { noRanges: true, cutAfter: { bytes: MIB, times: 1000 } });
      assert.equal((await failure(fetchRaw({ source: http(url), target: image('no') }))).reason, 'SOURCE_UNAVAILABLE');
      assert.ok(server.file('hopeless').requests <= 6);
      await daemon
        .get()
        .stranger.unary('OperationService/CancelOperation', { labels: {} })
        .catch(() => undefined);
      await dropKept();
    });
    it('a source that changes between two attempts is fetched from its beginning', async () => {
      const [old, fresh] = [noise(4 * MIB, 1), noise(4 * MIB, 2)];
      const url = server.add('changing', old, { cutAfter: { bytes: 3 * MIB, times: 1 }, laterContent: fresh });
      await fetchRaw({ source: http(url), target: image('changing') });
      assert.deepEqual(await readFile(image('changing')), fresh);
    });
    it('parts of other content are not put together, whatever the server says of them', async () => {
      const [old, fresh] = [noise(4 * MIB, 3), noise(4 * MIB, 4)];
      const faults = { cutAfter: { bytes: 3 * MIB, times: 1 }, laterContent: fresh, ignoresCondition: true };
      await fetchRaw({ source: http(server.add('careless', old, faults)), target: image('careless') });
      assert.deepEqual(await readFile(image('careless')), fresh);
    });
    it('a wrong Content-Length never makes a wrong image', async () => {
      const long = server.add('long', qcow2, { lengthError: 1000 });
      assert.ok(['STALLED', 'SOURCE_UNAVAILABLE'].includes((await attempt(long)).reason));
      await dropKept();
      const short = server.add('short', qcow2, { lengthError: -1000 });
      const error = await attempt(short, { checksum: sha256(qcow2) });
      assert.ok(['CHECKSUM_MISMATCH', 'SOURCE_UNAVAILABLE'].includes(error.reason), error.reason);
      await dropKept();
    });
    it('a web page in the place of an image is refused, whatever it says it is', async () => {
      const page = Buffer.from('<!DOCTYPE html><html><body>Sign in</body></html>'.padEnd(4096));
      assert.equal(
        (await attempt(server.add('page', page, { contentType: 'text/html; charset=utf-8' }))).reason,
        'SOURCE_UNAVAILABLE',
      );
      assert.equal((await attempt(server.add('page2', page))).reason, 'IMAGE_MALFORMED');
    });
    it('a body that stops for ever is STALLED when it happens each time, and nothing when it happens once', async () => {
      const content = noise(2 * MIB);
      const once = server.add('stops-once', content, { stopAfter: { bytes: MIB, times: 1 } });
      await fetchRaw({ source: http(once), target: image('stops-once') });
      assert.deepEqual(await readFile(image('stops-once')), content);
      const always = server.add('stops', content, { stopAfter: { bytes: 0, times: 1000 } });
      const error = await failure(fetchRaw({ source: http(always), target: image('no') }));
      assert.deepEqual([error.reason, error.code], ['STALLED', status.DEADLINE_EXCEEDED]);
    }).timeout(60_000);
    it('a byte a second is STALLED', async () => {
      const url = server.add('slow', noise(MIB), { bytesPerSecond: 1 });
      assert.equal((await failure(fetchRaw({ source: http(url), target: image('no') }))).reason, 'STALLED');
      await dropKept();
    }).timeout(60_000);
    it('redirects are followed, not for ever', async () => {
      const url = server.add('hop', qcow2, { redirect: server.add('landing', qcow2) });
      await fetch({ source: http(url, { 'x-secret': 'for this host' }), target: image('hop') });
      assert.equal(server.file('landing').seen[0]?.['x-secret'], 'for this host');
      const loop = server.add('loop', qcow2, { redirect: `${server.origin}/loop` });
      assert.equal((await attempt(loop)).reason, 'SOURCE_UNAVAILABLE');
      await dropKept();
    });
    it('a redirect leads to no other scheme, also to one that a source may have', async () => {
      for (const place of ['file:///etc/passwd', 'file://localhost/image', 'ftp://127.0.0.1/image', 'data:,image']) {
        const error = await attempt(server.add('astray', qcow2, { redirect: place }));
        const words = `redirects from http to ${place.slice(0, place.indexOf(':'))}`;
        assert.deepEqual([error.reason, error.message.includes(words)], ['SOURCE_FORBIDDEN', true], error.message);
      }
    });
    it('headers do not follow a redirect to another host', async () => {
      const other = await FaultServer.start();
      scratch.onEnd(() => other.close());
      const url = server.add('away', qcow2, { redirect: other.add('there', qcow2) });
      await fetch({ source: http(url, { authorization: 'Bearer 1' }), target: image('away') });
      assert.equal(server.file('away').seen[0]?.authorization, 'Bearer 1');
      assert.equal(other.file('there').seen[0]?.authorization, undefined);
    });
    it('metadata and link-local addresses are forbidden, also by a redirect and in other spellings', async () => {
      const places = [
        'http://169.254.169.254/latest/meta-data',
        'http://0xa9fea9fe/',
        'http://[::ffff:169.254.169.254]/',
        'http://[fe80::1]/',
        'http://[64:ff9b::a9fe:a9fe]/',
        server.add('to-metadata', qcow2, { redirect: 'http://169.254.169.254/latest/user-data' }),
      ];
      for (const place of places) assert.equal((await attempt(place)).reason, 'SOURCE_FORBIDDEN', place);
    });
    it('nobody listens: SOURCE_UNAVAILABLE', async () => {
      assert.equal((await attempt('http://127.0.0.1:1/')).reason, 'SOURCE_UNAVAILABLE');
    });
  });

  it('wrong fields are told together, a checksum of the wrong length among them', async () => {
    const error = await failure(
      fetch({
        source: http('ftp://x/'),
        target: 'relative',
        target_format: 'floppy',
        checksum: { algorithm: 'sha256', digest: 'abcd' },
      }),
    );
    assert.deepEqual([...error.fields].sort(), ['checksum.digest', 'source.http.url', 'target', 'target_format']);
    for (const url of ['http://user:secret@host/', '', 'file:///etc/passwd']) {
      const bad = await failure(fetch({ source: http(url), target: image('no') }));
      assert.deepEqual(bad.fields, ['source.http.url'], url);
    }
  });
  it('no secret is in the log, the journal or an error', async () => {
    const secret = 'TOPSECRET-4711';
    const url = `${server.add('closed', qcow2, { status: { code: 403, times: 1 } })}?signature=${secret}`;
    const error = await failure(fetch({ source: http(url, { authorization: secret }), target: image('no') }));
    assert.equal(error.reason, 'SOURCE_REFUSED');
    assert.ok(!JSON.stringify([error.message, error.metadata]).includes(secret));
    await fetch({ source: http(url, { authorization: secret }), target: image('signed') });
    assert.ok(!daemon.get().log.includes(secret));
    const found = await sh('sh', '-c', 'grep -rlc "$1" "$2" || true', 'sh', secret, scratch.path('daemon/state'));
    assert.equal(found, '');
  });

  async function dropKept(): Promise<void> {
    const { stranger } = daemon.get();
    const found = await stranger.unary('OperationService/ListOperations', { filter: { kept_only: true } });
    for (const each of (found['operations'] ?? []) as { operation_id: string }[])
      await stranger.unary('OperationService/CancelOperation', { operation_id: each.operation_id });
  }
});
