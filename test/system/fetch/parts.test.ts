/**
 * Sources that send more than they say, parts of what may have changed, and parts without an end.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, chunked, type Asked, type Reply } from '../../support/servers/raw-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const MOST = 4 << 20;
const QUICK = `[fetch]\nattempts = 3\nbackoff_ms = 10\nmax_backoff_ms = 20\nmax_bytes = ${String(MOST)}\n`;
const ID = '11111111-2222-4333-8444-555555555555';
const content = noise(600_000);
const other = noise(600_000, 2);
const size = String(content.length);
const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
/** More than any file may have: it would be too large, if it were read so far. */
const endless = noise(2 * MOST);
const PARTIAL = 'HTTP/1.1 206 Partial Content';
const sized = (body: Buffer, ...lines: string[]) =>
  answer(['HTTP/1.1 200 OK', `Content-Length: ${String(body.length)}`, ...lines], body);

describe('a source', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: QUICK });
  let served: ((asked: Asked) => Reply) | undefined;
  let server: RawServer;
  let count = 0;

  before(async () => {
    server = await RawServer.start((asked) => served?.(asked) ?? { bytes: answer(['HTTP/1.1 404 None']) });
    scratch.onEnd(() => server.close());
  });
  const target = () => daemon.get().image(`f${String(count)}`);
  const fetch = async (reply: (asked: Asked) => Reply, more: Message = {}) => {
    served = reply;
    server.asked.length = 0;
    count++;
    const source = { http: { url: `${server.origin}/image` } };
    const request = { source, target: target(), ...more };
    await daemon.get().stranger.operation('ImageService/FetchRawImage', request);
    const bytes = await readFile(target());
    return { same: bytes.equals(content) };
  };
  const refuses = async (reason: string, reply: (asked: Asked) => Reply, more?: Message) => {
    const error = await failure(fetch(reply, more));
    assert.equal(error.reason, reason, error.message);
    assert.ok(!existsSync(target()));
  };

  describe('that sends more than it said is left before more is written than was reserved', () => {
    const lines = ['HTTP/1.1 200 OK', 'ETag: "a"'];
    const ways: Record<string, Buffer> = {
      'in chunks': answer([...lines, 'Transfer-Encoding: chunked'], chunked(endless)),
      'up to the end of the line': answer(['HTTP/1.0 200 OK'], endless),
      'in a coding': sized(gzipSync(endless), 'Content-Encoding: gzip'),
      'in a part': answer([PARTIAL, 'ETag: "a"', 'Content-Range: bytes 0-999999999999/*'], endless),
    };
    for (const [title, data] of Object.entries(ways))
      it(`${title}, behind the size of Glance`, async () => {
        const metadata = Buffer.from(JSON.stringify({ status: 'active', disk_format: 'raw', size: 1 }));
        const source = { glance: { endpoint: server.origin, image_id: ID } };
        const reply = ({ path }: Asked) => ({ bytes: path.endsWith('/file') ? data : sized(metadata) });
        await refuses('SOURCE_UNAVAILABLE', reply, { source });
      });
    it('in a part that goes on where the line broke', async () => {
      const first = sized(content, 'ETag: "a"').subarray(0, -300_000);
      const reply = ({ from }: Asked): Reply =>
        from === undefined
          ? { bytes: first, end: 'reset' }
          : { bytes: answer([PARTIAL, 'ETag: "a"', `Content-Range: bytes ${String(from)}-999999999999/*`], endless) };
      await refuses('SOURCE_UNAVAILABLE', reply);
    });
  });

  describe('that changes behind the first of its parts', () => {
    const reply =
      (total: string, rest: Buffer, ...lines: string[]) =>
      ({ from = 0 }: Asked): Reply => {
        const end = Math.min(from + 300_000, content.length);
        const range = `Content-Range: bytes ${String(from)}-${String(end - 1)}/${total}`;
        const body = (from === 0 ? content : rest).subarray(from, end);
        return { bytes: answer([PARTIAL, range, `Content-Length: ${String(body.length)}`, ...lines], body) };
      };
    const young = 'Last-Modified: Wed, 21 Oct 2020 07:28:00 GMT';
    for (const [title, lines] of Object.entries({
      nothing: [],
      'a weak tag': ['ETag: W/"a"'],
      'a time that may come twice': [young, young.replace('Last-Modified', 'Date')],
      'a time that is none': ['Last-Modified: yesterday'],
    }))
      it(`is refused with ${title}, and taken with a checksum`, async () => {
        await refuses('SOURCE_REFUSED', reply(size, other, ...lines));
        await refuses('CHECKSUM_MISMATCH', reply(size, other, ...lines), { checksum });
        assert.ok((await fetch(reply(size, content, ...lines), { checksum })).same);
      });
    it('is taken with a tag', async () => {
      assert.ok((await fetch(reply(size, content, 'ETag: "a"'))).same);
    });
  });

  describe('whose parts never come to an end is given up', () => {
    const some = (lines: readonly string[], from = 0) =>
      answer([PARTIAL, 'Content-Length: 1000', ...lines], content.subarray(from, from + 1000));
    const first = 'Content-Range: bytes 0-999/*';
    const tag = 'ETag: "a"';
    const none = answer(['HTTP/1.1 416 No', 'Content-Length: 0']);
    const ways: Record<string, (asked: Asked) => Buffer> = {
      'as there is nothing behind the first': ({ from }) => (from === undefined ? some([tag, first]) : none),
      'as each is the first': () => some([tag, first]),
      'as each is of another content': ({ turn, from = 0 }) =>
        some([`ETag: "${String(turn)}"`, `Content-Range: bytes ${String(from)}-${String(from + 999)}/*`], from),
      'as its whole length changes': ({ turn, from = 0 }) =>
        some([tag, `Content-Range: bytes ${String(from)}-${String(from + 999)}/${String(5000 + turn)}`], from),
    };
    for (const [title, reply] of Object.entries(ways))
      for (const more of [{}, { checksum }])
        it(`${title}${'checksum' in more ? ', with a checksum' : ''}`, async () => {
          await refuses('SOURCE_UNAVAILABLE', (asked) => ({ bytes: reply(asked) }), more);
          assert.ok(server.asked.length <= 12, String(server.asked.length));
        });
  });
});
