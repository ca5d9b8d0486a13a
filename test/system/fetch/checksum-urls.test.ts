/** Fetches whose checksum is in a list at a web server. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, type Asked } from '../../support/servers/raw-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const content = noise(200_192);
const digest = (algorithm: string) => createHash(algorithm).update(content).digest('hex');
const ok = (body: Buffer | string, ...lines: string[]) =>
  answer(['HTTP/1.1 200 OK', `Content-Length: ${String(Buffer.byteLength(body))}`, ...lines], Buffer.from(body));

describe('a list of checksums', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nattempts = 1\nallowed_hosts = ["127.0.0.1"]\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  let list = '';
  let server: RawServer;
  let other: RawServer;
  let count = 0;
  const reply = ({ path }: Asked) => {
    if (path === '/moved')
      return { bytes: answer(['HTTP/1.1 302 Found', 'Location: /SHA256SUMS', 'Content-Length: 0']) };
    if (path === '/gone') return { bytes: answer(['HTTP/1.1 404 None', 'Content-Length: 0']) };
    return { bytes: path.endsWith('SUMS') ? ok(list) : ok(content, 'ETag: "a"') };
  };
  before(async () => {
    [server, other] = [await RawServer.start(reply), await RawServer.start(reply)];
    scratch.onEnd(() => Promise.all([server.close(), other.close()]));
  });
  const fetch = async (checksumUrl: string, more: Message = {}, source: Message = {}, rpc = 'FetchRawImage') => {
    const target = daemon.get().image(`f${String(count++)}`);
    const http = { url: `${server.origin}/the%20disk.img`, checksum_url: checksumUrl, ...source };
    const { fetch: result } = await daemon
      .get()
      .stranger.operation(`ImageService/${rpc}`, { source: { http }, target, ...more });
    assert.ok((await readFile(target)).equals(content));
    return result as Message;
  };

  for (const algorithm of ['sha256', 'sha1', 'md5', 'sha512'])
    it(`of ${algorithm} says what an image must be`, async () => {
      list = `${'0'.repeat(digest(algorithm).length)}  other\n${digest(algorithm)} *the disk.img\n`;
      assert.equal((await fetch(`${server.origin}/SUMS`))['checksum'], `${algorithm}:${digest(algorithm)}`);
      list = `${'0'.repeat(digest(algorithm).length)}  the disk.img\n`;
      assert.equal((await failure(fetch(`${server.origin}/SUMS`))).reason, 'CHECKSUM_MISMATCH');
      assert.ok(!existsSync(daemon.get().image(`f${String(count - 1)}`)));
    });
  it('of BSD, behind a redirect and at another server, too', async () => {
    list = `SHA256 (the disk.img) = ${digest('sha256')}\n`;
    await fetch(`${server.origin}/moved`);
    await fetch(`${other.origin}/SHA256SUMS`);
  });
  it('is asked with the headers of the caller at the same origin only', async () => {
    list = digest('sha256');
    const headers = { authorization: 'Bearer 1' };
    await fetch(`${server.origin}/SUMS`, {}, { headers });
    await fetch(`${other.origin}/SUMS`, {}, { headers });
    const last = (from: RawServer) =>
      from.asked
        .filter(({ path }) => path === '/SUMS')
        .at(-1)
        ?.header('authorization');
    assert.deepEqual([last(server), last(other)], ['Bearer 1', undefined]);
  });
  it('that is not there, names another file, is too long or forbidden ends the fetch before a byte of the image', async () => {
    const asked = () => server.asked.filter(({ path }) => path.startsWith('/the')).length;
    const before = asked();
    list = `${digest('sha256')}  another\n${digest('sha256')}  third\n`;
    assert.equal((await failure(fetch(`${server.origin}/SUMS`))).reason, 'SOURCE_NOT_FOUND');
    assert.equal((await failure(fetch(`${server.origin}/gone`))).reason, 'SOURCE_NOT_FOUND');
    list = '#'.repeat(2 << 20);
    assert.equal((await failure(fetch(`${server.origin}/SUMS`))).reason, 'SOURCE_UNAVAILABLE');
    for (const place of ['http://localhost:1/SUMS', 'http://169.254.169.254/SUMS'])
      assert.equal((await failure(fetch(place))).reason, 'SOURCE_FORBIDDEN');
    assert.equal(asked(), before);
  });
  it('is not beside a checksum, and has no query', async () => {
    const sum = { algorithm: 'sha256', digest: digest('sha256') };
    assert.deepEqual((await failure(fetch(`${server.origin}/SUMS`, { checksum: sum }))).fields, ['checksum']);
    for (const bad of ['/SUMS', 'ftp://x/SUMS', `${server.origin}/SUMS?x=1`])
      assert.deepEqual((await failure(fetch(bad))).fields, ['source.http.checksum_url'], bad);
  });
  it('that has changed is what the cache gives', async () => {
    list = digest('sha256');
    const cached = { use_cache: true };
    await fetch(`${server.origin}/SUMS`, cached, {}, 'FetchImage');
    assert.equal((await fetch(`${server.origin}/SUMS`, cached, {}, 'FetchImage'))['from_cache'], true);
    list = '0'.repeat(64);
    assert.equal((await failure(fetch(`${server.origin}/SUMS`, cached, {}, 'FetchImage'))).reason, 'CHECKSUM_MISMATCH');
  });
});
