/**
 * Lines that break, and servers that go on in every way that there is: the image is right, or the
 * fetch ends.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, type Asked, type Reply } from '../../support/servers/raw-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const QUICK = '[fetch]\nattempts = 4\nbackoff_ms = 10\nmax_backoff_ms = 20\n';
/** Each line breaks after so much; more than what counts as progress. */
const CUT = 400_000;
const content = noise(1_000_000);
const size = String(content.length);
const sha256 = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
const TAG = 'ETag: "a"';
const OLD = 'Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT';
const DATE = 'Date: Wed, 21 Oct 2020 07:28:00 GMT';
const range = (from: number, unit = 'bytes ') =>
  `Content-Range: ${unit}${String(from)}-${String(content.length - 1)}/${size}`;

const V4 = 'X-Amz-Algorithm=x&X-Amz-Credential=x&X-Amz-Expires=9&X-Amz-SignedHeaders=host';
const GOOGLE = `${V4}&X-Amz-Date=1`.replaceAll('Amz', 'Goog');

interface Way {
  readonly first: readonly string[];
  /** Lines of a part that begins there. */
  readonly then: (from: number) => readonly string[];
  readonly align?: number;
}
/** Of these the parts are put together. */
const GOES_ON: Record<string, Way> = {
  'says the same tag': { first: [TAG], then: (from) => [TAG, range(from)] },
  'does not repeat the tag': { first: [TAG], then: (from) => [range(from)] },
  'does not repeat the time': { first: [OLD, DATE], then: (from) => [DATE, range(from)] },
  'says neither of tag and time': { first: [TAG, OLD, DATE], then: (from) => [range(from)] },
  'has a time instead of the tag': { first: [TAG, OLD, DATE], then: (from) => [OLD, range(from)] },
  'makes the tag weak': { first: [TAG], then: (from) => ['ETag: W/"a"', range(from)] },
  'begins at a block': { first: [TAG], then: (from) => [TAG, range(from)], align: 65_536 },
  'begins at the beginning': { first: [TAG], then: (from) => [TAG, range(from)], align: content.length },
  'writes the unit large': { first: [TAG], then: (from) => [TAG, range(from, 'Bytes ')] },
  'writes spaces': { first: [TAG], then: (from) => [TAG, range(from, 'BYTES   ').replace(/(\d)-/, '$1 - ')] },
  'does not say where': { first: [TAG], then: () => [TAG] },
};
/** Of these they are not: all has to come in one piece. */
const BEGINS_AGAIN: Record<string, Way> = {
  'has another tag': { first: [TAG], then: (from) => ['ETag: "b"', range(from)] },
  'has another weak tag': { first: [TAG], then: (from) => ['ETag: W/"b"', range(from)] },
  'has another time': { first: [OLD, DATE], then: (from) => [OLD.replace('2015', '2016'), DATE, range(from)] },
  'has another length': { first: [TAG], then: (from) => [TAG, range(from).replace(`/${size}`, '/1000001')] },
  'writes another unit': { first: [TAG], then: (from) => [TAG, range(from, 'blocks ')] },
  'writes no range that can be': { first: [TAG], then: () => [TAG, `Content-Range: bytes 9-3/${size}`] },
  'begins later': { first: [TAG], then: (from) => [TAG, range(from + 1)] },
  'encodes the part': { first: [TAG], then: (from) => [TAG, 'Content-Encoding: gzip', range(from)] },
};

describe('a line that breaks, and a server that', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: QUICK });
  let served: ((asked: Asked) => Reply) | undefined;
  let server: RawServer;
  let count = 0;

  before(async () => {
    server = await RawServer.start((asked) => served?.(asked) ?? { bytes: answer(['HTTP/1.1 404 None']) });
    scratch.onEnd(() => server.close());
  });
  const fetch = async (reply: (asked: Asked) => Reply, more: Message = {}, target = `f${String(count++)}`) => {
    served = reply;
    server.asked.length = 0;
    const source = { http: { url: `${server.origin}/image` } };
    const request = { source, target: daemon.get().image(target), overwrite: true, ...more };
    const { fetch: result } = await daemon.get().stranger.operation('ImageService/FetchRawImage', request);
    return { bytes: await readFile(daemon.get().image(target)), result: result as Message };
  };
  const reply =
    ({ first, then, align = 1 }: Way, cuts: number) =>
    ({ from, turn }: Asked): Reply => {
      const start = from === undefined ? 0 : Math.floor(from / align) * align;
      const lines =
        from === undefined ? ['HTTP/1.1 200 OK', ...first] : ['HTTP/1.1 206 Partial Content', ...then(start)];
      const body = content.subarray(start);
      const bytes = answer([...lines, `Content-Length: ${String(body.length)}`], body);
      const came = from === undefined ? CUT : from - start + CUT;
      return turn >= cuts
        ? { bytes }
        : { bytes: bytes.subarray(0, bytes.length - Math.max(0, body.length - came)), end: 'reset' };
    };

  for (const [title, way] of Object.entries(GOES_ON))
    it(`${title} goes on`, async () => {
      assert.ok((await fetch(reply(way, Infinity))).bytes.equals(content));
      assert.ok(server.asked.slice(1).every(({ from }) => from !== undefined));
    });
  for (const [title, way] of Object.entries(BEGINS_AGAIN))
    it(`${title} is asked for the whole`, async () => {
      assert.equal((await failure(fetch(reply(way, Infinity), {}, 'bad'))).reason, 'SOURCE_UNAVAILABLE');
      assert.ok(server.asked.length <= 10, String(server.asked.length));
      // What was kept of it does no harm later.
      assert.ok((await fetch(reply(way, 0), {}, 'bad')).bytes.equals(content));
    });

  it('has nothing more is done, when that is how long the content is', async () => {
    const first = answer(
      ['HTTP/1.1 200 OK', TAG, 'Transfer-Encoding: chunked'],
      Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content]),
    );
    const end = (total: string) => answer(['HTTP/1.1 416 No', `Content-Range: bytes */${total}`, 'Content-Length: 0']);
    const whole = answer(['HTTP/1.1 200 OK', TAG, `Content-Length: ${size}`], content);
    const { bytes, result } = await fetch(({ from }) =>
      from === undefined ? { bytes: first, end: 'reset' } : { bytes: end(size) },
    );
    assert.ok(bytes.equals(content));
    assert.equal(result['network_bytes'], size);
    for (const total of ['999999', '1000001', 'x'])
      assert.ok(
        (
          await fetch(({ from, turn }) =>
            from === undefined
              ? turn === 0
                ? { bytes: first, end: 'reset' }
                : { bytes: whole }
              : { bytes: end(total) },
          )
        ).bytes.equals(content),
      );
  });
  it('has only times that say little is asked with none of them', async () => {
    for (const lines of [
      [OLD, OLD.replace('Last-Modified', 'Date')],
      ['ETag: W/"a"'],
      [],
      ['Last-Modified: yesterday'],
    ]) {
      const way = { first: lines, then: (from: number) => [...lines, range(from)] };
      assert.ok((await fetch(reply(way, 1))).bytes.equals(content));
      assert.deepEqual(
        server.asked.map(({ from }) => from),
        [undefined, undefined],
      );
    }
  });
  it('sends parts of two contents without a tag ends with what the checksum says', async () => {
    const other = { algorithm: 'sha256', digest: '0'.repeat(64) };
    const way = { first: [], then: (from: number) => [range(from)] };
    assert.ok((await fetch(reply(way, 1), { checksum: sha256 })).bytes.equals(content));
    assert.equal((await failure(fetch(reply(way, Infinity), { checksum: other }))).reason, 'CHECKSUM_MISMATCH');
  });

  describe('lets nobody in any more', () => {
    const gone: Reply = { bytes: answer(['HTTP/1.1 403 Expired', 'Content-Length: 0']) };
    const way = { first: [TAG], then: (from: number) => [range(from)] };
    const signed = (path: string, more: Message = {}) => {
      server.asked.length = 0;
      const source = { http: { url: `${server.origin}${path}` } };
      const request = { source, target: daemon.get().image('signed'), overwrite: true, ...more };
      return daemon.get().stranger.operation('ImageService/FetchRawImage', request);
    };
    for (const [title, first, second] of [
      ['S3', `${V4}&X-Amz-Date=1&X-Amz-Signature=a`, `X-Amz-Date=2&X-Amz-Signature=b&X-Amz-Security-Token=c&${V4}`],
      ['an older S3, or CloudFront', 'Expires=1&Signature=a&Key-Pair-Id=k', 'Signature=b&Expires=2&Key-Pair-Id=l'],
      ['Azure', 'sv=1&sr=b&sig=a%2B&se=x', 'sv=1&sr=b&sig=b&se=y&sp=r'],
      ['Swift', 'temp_url_sig=a&temp_url_expires=1', 'temp_url_sig=b&temp_url_expires=2'],
      ['Google, of one version', `v=7&X-Goog-Signature=a&${GOOGLE}`, `v=7&X-Goog-Signature=b&${GOOGLE}`],
    ] as const)
      it(`goes on with a new signature of ${title}`, async () => {
        served = (asked) => (asked.from === undefined ? reply(way, 1)(asked) : gone);
        assert.equal((await failure(signed(`/s?${first}`))).reason, 'SOURCE_REFUSED');
        served = reply(way, 0);
        const { fetch: result } = await signed(`/s?${second}`);
        assert.ok((await readFile(daemon.get().image('signed'))).equals(content));
        const { network_bytes: moved } = result as Message;
        assert.ok(Number(moved) <= content.length - CUT, String(moved));
      });
    for (const [title, first, second] of [
      ['of another version', `v=7&X-Amz-Date=1&X-Amz-Signature=a&${V4}`, `v=8&X-Amz-Date=1&X-Amz-Signature=a&${V4}`],
      ['that is no signature', 'Expires=1', 'Expires=2'],
      ['of another file', 'sp=1&st=a', 'sp=2&st=a'],
    ] as const)
      it(`begins again with a query ${title}`, async () => {
        served = (asked) => (asked.from === undefined ? reply(way, 1)(asked) : gone);
        assert.equal((await failure(signed(`/o?${first}`))).reason, 'SOURCE_REFUSED');
        served = reply(way, 0);
        await signed(`/o?${second}`);
        assert.deepEqual(
          server.asked.map(({ from }) => from),
          [undefined],
        );
        assert.ok((await readFile(daemon.get().image('signed'))).equals(content));
      });
  });
});
