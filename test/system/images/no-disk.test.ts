/** What a server sends in the place of an image is not published, and the error names it. */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

describe('fetching what is no disk', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
  const disk = noise(100_000);
  const zip = Buffer.concat([Buffer.from('504b030414000000', 'hex'), disk]);
  const fetch = (content: Buffer, more: Message = {}) =>
    daemon.get().stranger.operation('ImageService/FetchImage', {
      source: { http: { url: server.add('what', content) } },
      target: image('what'),
      overwrite: true,
      ...more,
    });

  for (const [what, content, more] of [
    ['a zip archive', zip, {}],
    ['a zip archive', gzipSync(zip), {}],
    ['a zip archive', zip, { use_cache: true }],
    ['a zip archive', zip, { target_format: 'qcow2' }],
    ['data compressed by gzip', gzipSync(gzipSync(disk)), {}],
    ['data compressed by zstd', gzipSync(zstdCompressSync(disk)), {}],
    ['a JSON document', Buffer.from('{"error": "not found"}'), {}],
    ['nothing', Buffer.alloc(0), {}],
    ['nothing', gzipSync(''), {}],
    ['nothing', Buffer.alloc(0), { source_format: 'raw' }],
    ['400 bytes, less than a sector', noise(400), { source_format: 'raw' }],
  ] as const)
    it(`${what}: IMAGE_MALFORMED by its name ${JSON.stringify(more)}`, async () => {
      const { reason, message, metadata } = await failure(fetch(content, more));
      assert.equal(reason, 'IMAGE_MALFORMED');
      assert.equal(metadata['content'], what);
      assert.ok(message.includes(`the file is ${what}`), message);
      await assert.rejects(stat(image('what')));
    });

  it('what is declared raw is taken as it is', async () => {
    await fetch(zip, { source_format: 'raw' });
    assert.ok((await readFile(image('what'))).equals(zip));
  });

  it('zstd that begins with frames to be skipped is zstd', async () => {
    const skipped = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.from('size')]);
    const frame = zstdCompressSync(disk, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
    await fetch(Buffer.concat([skipped, skipped, frame, skipped, frame]));
    assert.ok((await readFile(image('what'))).equals(Buffer.concat([disk, disk])));
  });
});
