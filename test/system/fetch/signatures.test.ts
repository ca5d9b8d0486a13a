/**
 * Callers whose URLs differ in their signature: one content comes once for all, and nobody gets
 * what the source does not give him.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const QUICK = '[fetch]\nattempts = 2\nbackoff_ms = 10\nmax_backoff_ms = 20\n';
const own = noise(300_032);
const theirs = noise(300_032, 2);
const sum = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });
const V4 =
  'X-Amz-Algorithm=x&X-Amz-Credential=x&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=';
const time = (year: number) => ({ 'last-modified': new Date(Date.UTC(year, 1)).toUTCString() });

describe('a signature', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  let handle: (url: URL, request: IncomingMessage, response: ServerResponse) => void = () => undefined;
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    handle(new URL(request.url ?? '', 'http://x'), request, response);
  });
  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scratch.onEnd(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
  });
  const folder = () => scratch.path('daemon');
  const image = (name: string) => scratch.path('daemon/images', name);
  const start = (failpoints: readonly string[] = []) =>
    Daemon.start(folder(), {
      toml: `${QUICK}[cache]\npath = "${image('cache')}"\n[debug]\nfailpoints = ${JSON.stringify(failpoints)}\n`,
    });
  let count = 0;
  const fetch = async (daemon: Daemon, path: string, more: Message = {}) => {
    const { target = image(`f${String(count++)}`), ...rest } = more;
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}${path}`;
    const request = { source: { http: { url } }, target, use_cache: true, source_format: 'raw', ...rest };
    const { fetch: result } = await daemon.stranger.operation('ImageService/FetchImage', request);
    return { bytes: await readFile(String(target)), result: result as Message };
  };
  const whole = (response: ServerResponse, bytes: Buffer, headers: Record<string, string> = { etag: '"a"' }) => {
    response.writeHead(200, { 'content-length': bytes.length, ...headers }).end(bytes);
  };

  describe('of a URL that others ask for too', () => {
    let daemon: Daemon;
    before(async () => {
      daemon = await start();
    });
    after(() => daemon.stop());

    it('joins what is under way', async () => {
      const waiting: ServerResponse[] = [];
      asked.length = 0;
      handle = (_, { headers }, response) => {
        if (headers['if-none-match'] !== undefined) response.writeHead(304).end();
        else waiting.push(response);
      };
      const both = Promise.all(['1', '2', '3'].map((sign) => fetch(daemon, `/join?${V4}${sign}`)));
      await until(() => waiting.length > 0);
      await until(async () => {
        const filter = { methods: ['FetchImage'], states: ['OPERATION_STATE_RUNNING'] };
        const { operations = [] } = await daemon.stranger.unary('OperationService/ListOperations', { filter });
        return (operations as Message[]).length === 3;
      });
      for (const response of waiting) whole(response, own);
      for (const { bytes } of await both) assert.ok(bytes.equals(own));
      assert.equal(waiting.length, 1);
    });

    it('goes on with what came before another one expired', async () => {
      let expired = false;
      handle = (url, { headers }, response) => {
        const [, from = '0'] = /bytes=(\d+)-/.exec(headers.range ?? '') ?? [];
        const rest = own.subarray(Number(from));
        const range = `bytes ${from}-${String(own.length - 1)}/${String(own.length)}`;
        const head = { etag: '"a"', 'content-length': rest.length, 'content-range': range };
        if (url.search.endsWith('=old') && expired) response.writeHead(403).end();
        else if (!expired) {
          expired = true;
          response.writeHead(206, head).write(rest.subarray(0, 200_000), () => setImmediate(() => response.destroy()));
        } else response.writeHead(206, head).end(rest);
      };
      assert.equal((await failure(fetch(daemon, `/expire?${V4}old`))).reason, 'SOURCE_REFUSED');
      for (const sign of ['new', 'newer']) assert.ok((await fetch(daemon, `/expire?${V4}${sign}`)).bytes.equals(own));
    });
  });

  describe('that names the content', () => {
    let daemon: Daemon;
    before(async () => {
      daemon = await start();
    });
    after(() => daemon.stop());
    const headers: Record<string, (mine: boolean) => Record<string, string>> = {
      'with times alone': (mine) => time(mine ? 2020 : 2010),
      'with tags': (mine) => ({ etag: mine ? '"a"' : '"b"' }),
      'with nothing': () => ({}),
    };
    for (const [title, headersOf] of Object.entries(headers))
      for (const [kind, a, b] of [
        ['alone', 'sig=TA', 'sig=TB'],
        ['in a way that is known', `${V4}a`, `${V4}b`],
      ] as const)
        it(`${kind}, ${title}, gives nobody what is another's`, async () => {
          handle = ({ search }, request, response) => {
            const mine = search.endsWith('a') || search.endsWith('TA');
            const given = headersOf(mine);
            const since = request.headers['if-modified-since'];
            const changed = given['last-modified'];
            const old = since !== undefined && changed !== undefined && Date.parse(changed) <= Date.parse(since);
            const tagged = given['etag'] !== undefined && request.headers['if-none-match'] === given['etag'];
            if (old || tagged) response.writeHead(304).end();
            else whole(response, mine ? own : theirs, given);
          };
          const path = `/${String(count)}`;
          for (const more of [{}, { checksum: sum(own) }]) {
            assert.ok((await fetch(daemon, `${path}?${a}`, more)).bytes.equals(own));
            if ('checksum' in more)
              assert.equal((await failure(fetch(daemon, `${path}?${b}`, more))).reason, 'CHECKSUM_MISMATCH');
            else assert.ok((await fetch(daemon, `${path}?${b}`, more)).bytes.equals(theirs));
            assert.ok((await fetch(daemon, `${path}?${a}`, more)).bytes.equals(own));
          }
        });
  });

  describe('or a request after a crash, when all had come', () => {
    for (const [title, first, second, sameAgain] of [
      ['another tag', { etag: '"a"' }, { etag: '"b"' }, false],
      ['an older time', time(2020), time(2010), false],
      ['nothing to tell', {}, {}, false],
      ['the same tag', { etag: '"a"' }, { etag: '"a"' }, true],
      ['the same time', time(2020), time(2020), true],
    ] as const)
      it(`gets what the source has then: ${title}`, async () => {
        let now: readonly [Buffer, Record<string, string>] = [gzipSync(own), first];
        handle = (_, request, response) => {
          const { 'if-none-match': tag, range } = request.headers;
          if (tag !== undefined && tag === now[1]['etag']) response.writeHead(304).end();
          else if (range === 'bytes=0-0')
            response.writeHead(206, { ...now[1], 'content-range': 'bytes 0-0/9' }).end('x');
          else whole(response, ...now);
        };
        const name = `crash-${title.replaceAll(' ', '-')}`;
        const [path, target] = [`/${name}`, image(name)];
        const killed = await start(['FetchImage:expand:kill']);
        await failure(fetch(killed, path, { target, use_cache: false }));
        killed.stranger.close();
        await killed.exited;
        now = [gzipSync(theirs), second];
        const daemon = await start();
        try {
          const { bytes } = await fetch(daemon, path, { target, use_cache: false });
          assert.ok(bytes.equals(sameAgain ? own : theirs));
        } finally {
          await daemon.stop();
        }
      });
  });
});
