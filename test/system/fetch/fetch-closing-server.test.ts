/**
 * Servers that close the connection behind the body: what has come counts when it is whole, and
 * only then.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('fetching from a server that closes the connection', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: '[fetch]\nattempts = 2\nbackoff_ms = 20\n' });
  // More than the daemon takes in one go: it is still reading when the other side has left.
  const content = noise(12 * MIB);
  const chunk = Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n')]);
  const answer = (head: string, body: Buffer) => Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close';
  const sized = (bytes: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${String(bytes)}\r\nConnection: close`;

  async function serving(bytes: Buffer, use: (url: string) => Promise<void>, end = 'close'): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined); // the daemon may leave first
      socket.once('data', () => {
        if (end === 'close') socket.end(bytes);
        else socket.write(bytes, () => socket.resetAndDestroy());
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      await use(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/image`);
    } finally {
      server.close();
    }
  }

  const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
  // Without a length only the checksum tells that all has come.
  const fetch = (url: string, target: string, given: object = { checksum }) =>
    daemon.get().stranger.operation('ImageService/FetchRawImage', { source: { http: { url } }, target, ...given });

  for (const [title, bytes] of [
    ['with a length', answer(sized(content.length), content)],
    ['in chunks', answer(chunked, Buffer.concat([chunk, Buffer.from('0\r\n\r\n')]))],
    ['up to the end of the connection', answer('HTTP/1.0 200 OK', content)],
  ] as const)
    it(`takes what comes ${title}`, async () => {
      const target = daemon.get().image(title);
      await serving(bytes, async (url) => {
        await fetch(url, target);
      });
      assert.ok((await readFile(target)).equals(content));
    });

  for (const [title, head] of [
    ['no length', 'HTTP/1.0 200 OK'],
    ['no length, of version 1.1', 'HTTP/1.1 200 OK\r\nConnection: close'],
    ['no length and a tag', 'HTTP/1.1 200 OK\r\nETag: "x"'],
  ] as const)
    for (const length of [1000, MIB, content.length])
      it(`refuses ${String(length)} bytes of ${title} when the line is reset`, async () => {
        const use = async (url: string) => {
          assert.equal((await failure(fetch(url, daemon.get().image('cut')))).reason, 'SOURCE_UNAVAILABLE');
          const bare = await failure(fetch(url, daemon.get().image('cut'), {}));
          assert.equal(bare.reason, 'SOURCE_WITHOUT_LENGTH');
        };
        await serving(answer(head, content.subarray(0, length)), use, 'reset');
      });

  for (const [title, bytes] of [
    ['a length that is not reached', answer(sized(content.length + 1), content)],
    ['chunks without the last one', answer(chunked, chunk)],
  ] as const)
    it(`refuses ${title}`, async () => {
      await serving(bytes, async (url) => {
        assert.equal((await failure(fetch(url, daemon.get().image('cut')))).reason, 'SOURCE_UNAVAILABLE');
      });
    });
});
