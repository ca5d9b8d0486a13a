/** What proves that all of an image has come, and what is made of bodies that are encoded. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, chunked, type Asked, type Reply } from '../../support/servers/raw-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const QUICK = '[fetch]\nattempts = 3\nbackoff_ms = 10\nmax_backoff_ms = 20\nmax_bytes = 4194304\n';
const content = noise(600_000);
const half = content.length / 2;
const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });
const sized = (body: Buffer, ...lines: string[]) =>
  answer(['HTTP/1.1 200 OK', `Content-Length: ${String(body.length)}`, ...lines], body);
const part = (from: number, to: number, total: string, ...lines: string[]) =>
  answer(
    ['HTTP/1.1 206 Partial Content', `Content-Length: ${String(to - from)}`, 'ETag: "a"']
      .concat(`Content-Range: bytes ${String(from)}-${String(to - 1)}/${total}`)
      .concat(lines),
    content.subarray(from, to),
  );
/** It says its length, and the line breaks in the middle. */
const broken: Reply = { bytes: sized(content, 'ETag: "a"').subarray(0, -half), end: 'reset' };
const brokenChunks: Reply = {
  bytes: answer(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'ETag: "a"'], chunked(content).subarray(0, -half)),
  end: 'reset',
};

describe('what a web server sends', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: QUICK });
  let served: ((asked: Asked) => Reply) | undefined;
  let server: RawServer;
  let count = 0;

  before(async () => {
    server = await RawServer.start((asked) => served?.(asked) ?? { bytes: answer(['HTTP/1.1 404 None']) });
    scratch.onEnd(() => server.close());
  });
  const fetch = async (reply: (asked: Asked) => Reply, path = 'image', more: Message = {}) => {
    served = reply;
    server.asked.length = 0;
    const target = daemon.get().image(`f${String(count++)}`);
    const source = { http: { url: `${server.origin}/${path}` } };
    const result = await daemon.get().stranger.operation('ImageService/FetchRawImage', { source, target, ...more });
    return { bytes: await readFile(target), result: result['fetch'] as Message };
  };
  const refuses = async (reason: string, reply: (asked: Asked) => Reply, path?: string, more?: Message) => {
    const error = await failure(fetch(reply, path, more));
    assert.equal(error.reason, reason, error.message);
    assert.ok(!existsSync(daemon.get().image(`f${String(count - 1)}`)));
  };

  describe('is whole', () => {
    const wholes: Record<string, (asked: Asked) => Reply> = {
      'in parts of an unknown whole, until there is no more': ({ from }) =>
        from === undefined
          ? brokenChunks
          : { bytes: from < content.length ? part(from, Math.min(from + 50_000, content.length), '*') : end416 },
      'in parts of a known whole': ({ from }) =>
        from === undefined
          ? broken
          : { bytes: part(from, Math.min(from + 70_000, content.length), String(content.length)) },
      'in parts of a whole whose length the first answer had': ({ from }) =>
        from === undefined ? broken : { bytes: part(from, Math.min(from + 70_000, content.length), '*') },
      'in lines that end with LF alone': () => ({
        bytes: answer(['HTTP/1.1 200 OK', `Content-Length: ${String(content.length)}`], content, '\n'),
      }),
      'behind a head of 100 KB': () => ({ bytes: sized(content, `X-Policy: ${'x'.repeat(100_000)}`) }),
      'in chunks beside a length': () => ({
        bytes: answer(['HTTP/1.1 200 OK', 'Content-Length: 5', 'Transfer-Encoding: chunked'], chunked(content)),
      }),
      'as a web page that is none': () => ({ bytes: sized(content, 'Content-Type: text/html; charset=utf-8') }),
    };
    const end416 = answer(['HTTP/1.1 416 No', `Content-Range: bytes */${String(content.length)}`, 'Content-Length: 0']);
    for (const [title, reply] of Object.entries(wholes))
      it(title, async () => {
        const { bytes, result } = await fetch(reply);
        assert.ok(bytes.equals(content));
        assert.equal(result['network_bytes'], String(content.length));
      });
    it('without a length, where a checksum says so', async () => {
      const reply = () => ({ bytes: answer(['HTTP/1.0 200 OK'], content) });
      assert.ok((await fetch(reply, 'image', { checksum: sha256(content) })).bytes.equals(content));
      await refuses('SOURCE_WITHOUT_LENGTH', reply);
      const cut = () => ({ bytes: answer(['HTTP/1.0 200 OK'], content.subarray(0, half)) });
      await refuses('CHECKSUM_MISMATCH', cut, 'image', { checksum: sha256(content) });
      await refuses('SOURCE_WITHOUT_LENGTH', cut);
    });
  });

  describe('is not whole', () => {
    const cuts: Record<string, (asked: Asked) => Reply> = {
      'when a part ends before its end': ({ from }) =>
        from === undefined ? broken : { bytes: answer(partLines(from, content.length), content.subarray(from, -9)) },
      'when parts stop in the middle of what the first answer had': ({ from }) =>
        from === undefined ? broken : { bytes: from > half ? none : part(from, from + 50_000, '*') },
      'when the last part of an unknown whole says nothing of an end': ({ from }) =>
        from === undefined ? brokenChunks : { bytes: from > half ? none : part(from, from + 50_000, '*') },
      'when a part is longer than it says': ({ from }) =>
        from === undefined ? broken : { bytes: answer(partLines(from, content.length - 100), content.subarray(from)) },
      'when it is an answer without content': () => ({ bytes: answer(['HTTP/1.1 204 No Content']) }),
      'when the part that comes was not asked for': () => ({ bytes: part(1000, 2000, '*') }),
    };
    const partLines = (from: number, end: number) => [
      'HTTP/1.1 206 Partial Content',
      'Transfer-Encoding: identity',
      'ETag: "a"',
      `Content-Range: bytes ${String(from)}-${String(end - 1)}/${String(content.length)}`,
    ];
    const none = answer(['HTTP/1.1 503 Later', 'Content-Length: 0']);
    for (const [title, reply] of Object.entries(cuts))
      it(title, async () => {
        const error = await failure(fetch(reply));
        assert.ok(['SOURCE_UNAVAILABLE', 'SOURCE_REFUSED'].includes(error.reason), error.reason);
        assert.ok(!existsSync(daemon.get().image(`f${String(count - 1)}`)));
      });
    it('when nobody can tell where it ends: the error says what is wrong with its head', async () => {
      const length = `Content-Length: ${String(content.length)}`;
      for (const [lines, words] of [
        [[length, length], /cannot be read: .*Duplicate Content-Length/],
        [[length, 'Content-Length: 5'], /cannot be read: .*Duplicate Content-Length/],
        [['Content-Length: x'], /cannot be read: .*Content-Length/],
        [[length, 'no header'], /cannot be read: .*header/],
      ] as const) {
        const error = await failure(fetch(() => ({ bytes: answer(['HTTP/1.1 200 OK', ...lines], content) })));
        assert.equal(error.reason, 'SOURCE_UNAVAILABLE');
        assert.match(error.message, words);
      }
    });
    it('when it is a web page in the place of an image', async () => {
      for (const page of ['<html>Sign in</html>', ' \n<!-- größe -->'.padEnd(2000, 'ü'), 'Access denied', ''])
        await refuses('SOURCE_UNAVAILABLE', () => ({ bytes: sized(Buffer.from(page), 'Content-Type: text/html') }));
    });
  });

  describe('as an image of Glance', () => {
    const ID = '11111111-2222-4333-8444-555555555555';
    const chunks = (body: Buffer) => answer(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], chunked(body));
    const line = (body: Buffer) => answer(['HTTP/1.0 200 OK'], body);
    const glance = async (size: number, data: (asked: Asked) => Buffer, suffix = '') => {
      const metadata = Buffer.from(JSON.stringify({ status: 'active', disk_format: 'raw', size }));
      served = (asked) => ({ bytes: asked.path.endsWith('/file') ? data(asked) : sized(metadata) });
      const target = daemon.get().image(`f${String(count++)}`);
      const source = { glance: { endpoint: `${server.origin}${suffix}`, image_id: ID } };
      await daemon.get().stranger.operation('ImageService/FetchRawImage', { source, target });
      return readFile(target);
    };
    const size = content.length;
    it('an endpoint may end with the version of the API', async () => {
      for (const [suffix, path] of [
        ['/v2', ''],
        ['/v2/', ''],
        ['/v2.9', ''],
        ['/image/v2', '/image'],
        ['/v2/image/', '/v2/image'],
      ] as const) {
        server.asked.length = 0;
        await glance(size, () => sized(content), suffix);
        const paths = server.asked.map((asked) => asked.path);
        assert.deepEqual(new Set(paths), new Set([`${path}/v2/images/${ID}`, `${path}/v2/images/${ID}/file`]));
      }
    });
    for (const [title, data] of [
      ['in chunks', () => chunks(content)],
      ['up to the end of the line', () => line(content)],
      ['in parts', ({ from = 0 }: Asked) => (from === 0 ? broken.bytes : part(from, size, '*'))],
    ] as const)
      it(`it is whole ${title}, when it is as long as Glance says`, async () => {
        assert.ok((await glance(size, data)).equals(content));
      });
    for (const [title, data] of [
      ['chunks end before', () => chunks(content.subarray(0, -1))],
      ['chunks go on behind', () => chunks(Buffer.concat([content, content]))],
      ['the line ends before', () => line(content.subarray(0, half))],
      ['its length is another', () => sized(content.subarray(0, half))],
      ['nothing comes', () => sized(Buffer.alloc(0))],
    ] as const)
      it(`it is not when ${title}`, async () => {
        assert.equal((await failure(glance(size, data))).reason, 'SOURCE_UNAVAILABLE');
        assert.ok(!existsSync(daemon.get().image(`f${String(count - 1)}`)));
      });
  });

  describe('in a content coding that nobody asked for', () => {
    const codings = {
      gzip: gzipSync(content),
      'X-GZip': gzipSync(content),
      deflate: deflateSync(content),
      'deflate ': deflateRawSync(content),
      br: brotliCompressSync(content),
      zstd: zstdCompressSync(content),
      'br, gzip': gzipSync(brotliCompressSync(content)),
      identity: content,
      'aws-chunked': content,
      none: content,
      'utf-8': content,
      binary: content,
      'gzip, UTF-8': gzipSync(content),
    };
    for (const [coding, body] of Object.entries(codings))
      it(`${coding} is undone`, async () => {
        const reply = () => ({ bytes: sized(body, `Content-Encoding: ${coding}`, 'ETag: "a"') });
        const { bytes, result } = await fetch(reply, 'image', { checksum: sha256(content) });
        assert.ok(bytes.equals(content));
        assert.equal(result['network_bytes'], String(body.length));
        assert.equal(server.asked[0]?.header('accept-encoding'), 'identity');
      });
    it('of a file that is compressed itself it is the file', async () => {
      for (const [name, coding] of [
        ['disk.img.gz', 'gzip'],
        ['disk.TGZ', 'x-gzip'],
        ['disk.zst', 'zstd'],
        ['disk.br', 'br'],
        ['disk.raw.xz', 'xz'],
        ['disk.txz', 'x-xz'],
        ['disk.bz2', 'x-bzip2'],
        ['disk.tbz', 'bzip2'],
      ] as const)
        assert.ok(
          (await fetch(() => ({ bytes: sized(content, `Content-Encoding: ${coding}`) }), name)).bytes.equals(content),
        );
    });
    it('of a file whose name in the answer says so it is the file', async () => {
      for (const name of ['filename=disk.raw.gz', 'filename="a disk.raw.gz"', "filename*=UTF-8''disk.raw.gz; x=y"]) {
        const lines = ['Content-Encoding: gzip', `Content-Disposition: attachment; ${name}`];
        assert.ok((await fetch(() => ({ bytes: sized(content, ...lines) }), 'download')).bytes.equals(content));
      }
    });
    it('begins again when its line breaks, and is never put together', async () => {
      const bytes = sized(codings.gzip, 'Content-Encoding: gzip', 'ETag: "a"');
      const reply = ({ turn }: Asked): Reply =>
        turn > 0 ? { bytes } : { bytes: bytes.subarray(0, -half), end: 'reset' };
      assert.ok((await fetch(reply)).bytes.equals(content));
      assert.deepEqual(
        server.asked.map(({ from }) => from),
        [undefined, undefined],
      );
    });
    it('that is unknown, wrong, cut, too much or too often applied is refused', async () => {
      const cases: Record<string, readonly [string, Buffer, string]> = {
        unknown: ['compress', content, 'SOURCE_REFUSED'],
        'of no such file': ['xz', content, 'SOURCE_REFUSED'],
        wrong: ['gzip', content, 'SOURCE_UNAVAILABLE'],
        cut: ['gzip', codings.gzip.subarray(0, -1), 'SOURCE_UNAVAILABLE'],
        'cut br': ['br', codings.br.subarray(0, -1), 'SOURCE_UNAVAILABLE'],
        'cut zstd': ['zstd', codings.zstd.subarray(0, -1), 'SOURCE_UNAVAILABLE'],
        'twice zstd': ['zstd', Buffer.concat([codings.zstd, codings.zstd]), 'SOURCE_UNAVAILABLE'],
        bomb: ['gzip', gzipSync(Buffer.alloc(64 << 20)), 'IMAGE_TOO_LARGE'],
        often: ['gzip, gzip, gzip', content, 'SOURCE_REFUSED'],
      };
      for (const [coding, body, reason] of Object.values(cases))
        await refuses(reason, () => ({ bytes: sized(body, `Content-Encoding: ${coding}`) }));
      const transfer = ['HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, chunked'];
      await refuses('SOURCE_REFUSED', () => ({ bytes: answer(transfer, chunked(codings.gzip)) }));
    });
  });

  describe('with a header on several lines', () => {
    const chunks = chunked(content);
    const te = (...codings: string[]) => [
      'HTTP/1.1 200 OK',
      ...codings.map((coding) => `Transfer-Encoding: ${coding}`),
    ];
    for (const codings of [
      ['chunked', 'identity'],
      ['identity', 'chunked'],
      ['chunked', 'chunked'],
      ['chunked', 'gzip'],
      ['chunked, identity'],
    ])
      it(`is refused in the transfer codings ${codings.join(' and ')}, whole or not`, async () => {
        for (const body of [chunks, chunks.subarray(0, -half), content.subarray(0, half)]) {
          const error = await failure(fetch(() => ({ bytes: answer(te(...codings), body) })));
          assert.ok(['SOURCE_REFUSED', 'SOURCE_UNAVAILABLE'].includes(error.reason), error.message);
        }
      });
    it('is undone in the order of its content codings', async () => {
      const body = gzipSync(brotliCompressSync(content));
      const lines = ['Content-Encoding: br', 'Content-Encoding: gzip'];
      assert.ok((await fetch(() => ({ bytes: sized(body, ...lines) }))).bytes.equals(content));
      await refuses('SOURCE_UNAVAILABLE', () => ({ bytes: sized(body, ...lines.toReversed()) }));
      const twice = ['Content-Encoding: gzip', 'Content-Encoding: gzip'];
      await refuses('SOURCE_UNAVAILABLE', () => ({ bytes: sized(gzipSync(content), ...twice) }));
    });
    it('is taken where all lines say the same length', async () => {
      assert.ok((await fetch(() => ({ bytes: sized(content, 'ETag: "a"', 'ETag: "a"') }))).bytes.equals(content));
      const error = await failure(fetch(() => ({ bytes: sized(content, 'Content-Length: 5') })));
      assert.ok(['SOURCE_REFUSED', 'SOURCE_UNAVAILABLE'].includes(error.reason), error.message);
    });
  });

  it('is the file of a coding where the address that was asked, or the one that answers, names it so', async () => {
    const reply =
      (last: string) =>
      ({ path }: Asked): Reply =>
        path === last
          ? { bytes: sized(gzipSync(content), 'Content-Encoding: gzip') }
          : { bytes: answer(['HTTP/1.1 302 Found', `Location: ${last}`, 'Content-Length: 0']) };
    assert.ok((await fetch(reply('/blob/1'), 'disk.img.gz')).bytes.equals(gzipSync(content)));
    assert.ok((await fetch(reply('/blob/1'), 'latest')).bytes.equals(content));
    assert.ok((await fetch(reply('/disk.gz'), 'latest')).bytes.equals(gzipSync(content)));
  });

  it('is found behind a redirect whose address has bytes beyond ASCII', async () => {
    for (const [place, path] of [
      ['/größe.img', '/gr%C3%B6%C3%9Fe.img'],
      ['/%C3%A9t\u00e9.img', '/%C3%A9t%C3%A9.img'],
      ['/\u{1f4be}?s=\u00e4', '/%F0%9F%92%BE?s=%C3%A4'],
    ] as const) {
      const reply = (asked: Asked): Reply =>
        asked.path === '/image'
          ? { bytes: answer(['HTTP/1.1 302 Found', `Location: ${place}`, 'Content-Length: 0']) }
          : { bytes: asked.path === path ? sized(content) : answer(['HTTP/1.1 404 None', 'Content-Length: 0']) };
      assert.ok((await fetch(reply)).bytes.equals(content), place);
    }
  });
});
