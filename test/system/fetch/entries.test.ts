/** What the cache keeps: what it can give again, and of one content one entry. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, type Asked } from '../../support/servers/raw-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';

const content = noise(300_032);
const sha256 = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
const OLD = 'Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT';

describe('the entries of the cache', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nattempts = 2\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  let lines: readonly string[] = [];
  let server: RawServer;
  let count = 0;
  before(async () => {
    const whole = () => answer(['HTTP/1.1 200 OK', `Content-Length: ${String(content.length)}`, ...lines], content);
    // Tags are the same to If-None-Match also when they are weak.
    const known = ({ header }: Asked) =>
      lines.some(
        (line) =>
          line === `ETag: ${header('if-none-match') ?? ''}` ||
          line === `Last-Modified: ${header('if-modified-since') ?? ''}`,
      );
    server = await RawServer.start((asked) => ({ bytes: known(asked) ? answer(['HTTP/1.1 304 Same']) : whole() }));
    scratch.onEnd(() => server.close());
  });
  const fetch = async (path: string, more: Message = {}) => {
    const target = daemon.get().image(`f${String(count++)}`);
    const request = { source: { http: { url: `${server.origin}${path}` } }, target, use_cache: true, ...more };
    const { fetch: result } = await daemon.get().stranger.operation('ImageService/FetchImage', request);
    if (more['overlay'] !== true) assert.ok((await readFile(target)).equals(content));
    return result as Message;
  };
  const entries = async () =>
    ((await daemon.get().stranger.unary('ImageService/ListCachedImages', {}))['images'] as Message[] | undefined) ?? [];
  const files = async () => (await readdir(daemon.get().image('cache'))).filter((name) => !name.startsWith('.'));

  for (const [title, given] of [
    ['a weak tag', ['ETag: W/"w"']],
    ['a strong tag', ['ETag: "s"']],
    ['a time', [OLD]],
    ['a weak tag and a time', ['ETag: W/"v"', OLD]],
  ] as const)
    it(`are given again where ${title} says that it is the same`, async () => {
      lines = given;
      const [before, path] = [(await entries()).length, `/${String(count)}`];
      const results = [await fetch(path), await fetch(path), await fetch(path)];
      assert.deepEqual(
        results.map((result) => result['from_cache'] ?? false),
        [false, true, true],
      );
      assert.equal((await entries()).length, before + 1);
    });
  for (const [title, given] of [
    ['nothing', []],
    ['a time of just now', [OLD, OLD.replace('Last-Modified', 'Date')]],
    ['a time that is none', ['Last-Modified: yesterday']],
  ] as const)
    it(`are not kept where ${title} says so`, async () => {
      lines = given;
      const before = [await entries(), await files()].map((all) => all.length);
      const both = await Promise.all([fetch('/none'), fetch('/none'), fetch('/none')]);
      assert.ok(both.every((result) => result['cache_id'] === undefined || result['cache_id'] === ''));
      assert.deepEqual(
        [await entries(), await files()].map((all) => all.length),
        before,
      );
    });
  it('are kept for an overlay, and as they were prefetched: of one content the last one', async () => {
    lines = [];
    await fetch('/none', { overlay: true });
    const kept = (await entries()).length;
    const prefetch = () =>
      daemon
        .get()
        .stranger.operation('ImageService/PrefetchImage', { source: { http: { url: `${server.origin}/none` } } });
    await prefetch();
    await prefetch();
    // That of the overlay is the base of an image.
    assert.equal((await entries()).length, kept + 1);
  });
  it('are replaced by what the source has now', async () => {
    const before = (await entries()).length;
    for (const tag of ['"1"', '"2"', '"3"']) {
      lines = [`ETag: ${tag}`];
      assert.equal((await fetch('/changing'))['from_cache'] ?? false, false);
    }
    assert.equal((await entries()).length, before + 1);
  });
  it('are one for all signatures of a URL', async () => {
    lines = ['ETag: "s"'];
    const before = (await entries()).length;
    const v4 = 'X-Amz-Algorithm=x&X-Amz-Credential=x&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Date=1';
    const signatures = [`${v4}&X-Amz-Signature=1`, `X-Amz-Signature=2&${v4}2`, `${v4}&X-Amz-Signature=4`.toLowerCase()];
    for (const [n, query] of signatures.entries())
      for (const [path, more] of [
        ['/with-sum', { checksum: sha256 }],
        ['/with-tag', {}],
      ] as const)
        assert.equal((await fetch(`${path}?${query}`, more))['from_cache'] ?? false, n > 0);
    assert.equal((await entries()).length, before + 2);
  });
});
