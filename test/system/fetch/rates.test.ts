/** How fast bytes may come and go, and what is said while a source is waited for. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const KIB = 1024;
/** At this rate the content takes two seconds. */
const [CONTENT, RATE] = [noise(512 * KIB, 3), 256 * KIB];
/** No sooner: what did not move at first is made up for, and a timer may be early. */
const LEAST_MS = 1700;

describe('a rate', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nbackoff_ms = 300\nattempts = 4\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  const image = (name: string) => daemon.get().image(name);
  const events = (rpc: string, request: Message) => daemon.get().stranger.all(`ImageService/${rpc}`, request);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
  const timed = async (work: () => Promise<unknown>) => {
    const started = performance.now();
    await work();
    return performance.now() - started;
  };
  const source = (name: string, faults: Parameters<FaultServer['add']>[2] = {}) => ({
    source: { http: { url: server.add(name, CONTENT, faults), headers: {} } },
  });
  const limited = { bandwidth_bytes_per_second: String(RATE) };

  for (const [rpc, more] of [
    ['FetchImage', { target: 'fetched', source_format: 'raw' }],
    ['FetchImage', { target: 'by-the-cache', source_format: 'raw', use_cache: true }],
    ['FetchRawImage', { target: 'fetched-raw' }],
    ['PrefetchImage', { source_format: 'raw' }],
  ] as const)
    it(`of ${rpc}${'use_cache' in more ? ' by way of the cache' : ''} is kept`, async () => {
      const target = 'target' in more ? { target: image(more.target) } : {};
      const name = `of-${rpc}-${String('use_cache' in more)}`;
      const ms = await timed(() => events(rpc, { ...source(name), ...limited, ...more, ...target }));
      assert.ok(ms > LEAST_MS, String(ms));
      if (target.target !== undefined) assert.ok((await readFile(target.target)).equals(CONTENT));
    });

  it('of a file of this host is kept', async () => {
    await writeFile(image('local'), CONTENT);
    const request = { source: { file: { path: image('local') } }, target: image('taken'), source_format: 'raw' };
    await events('FetchImage', { ...request, ...limited });
    assert.ok((await readFile(image('taken'))).equals(CONTENT));
  });

  it('of an upload and of a download is kept', async () => {
    const { stranger } = daemon.get();
    const { upload_id } = await stranger.unary('ImageService/StartUpload', {
      ...{ target: image('uploaded'), format: 'raw', length_bytes: String(CONTENT.length) },
    });
    const pieces = [0, 1, 2, 3].map((n) => ({ data: CONTENT.subarray(n * 128 * KIB, (n + 1) * 128 * KIB) }));
    const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(CONTENT).digest('hex') };
    const sent = [{ header: { upload_id, ...limited } }, ...pieces, { checksum }];
    assert.ok((await timed(() => stranger.send('ImageService/UploadImage', sent))) > LEAST_MS);
    assert.ok((await readFile(image('uploaded'))).equals(CONTENT));
    let came: Message[] = [];
    const ms = await timed(async () => {
      came = await events('DownloadImage', { path: image('uploaded'), ...limited });
    });
    assert.ok(ms > LEAST_MS, String(ms));
    assert.ok(Buffer.concat(came.map(({ data }) => (data as Buffer | undefined) ?? Buffer.alloc(0))).equals(CONTENT));
  });

  it('is given up with its call', async () => {
    const request = { ...source('given-up'), target: image('given-up'), bandwidth_bytes_per_second: '1' };
    const { stranger } = daemon.get();
    const error = await failure(stranger.all('ImageService/FetchRawImage', request, { deadline: Date.now() + 1000 }));
    assert.match(error.message, /[Dd]eadline/);
    await until(async () => (await daemon.get().leftovers()).length === 0);
  });

  it('of nothing is refused', async () => {
    for (const rpc of ['FetchImage', 'FetchRawImage'])
      assert.deepEqual(
        (await failure(events(rpc, { ...source('none'), target: image('none'), bandwidth_bytes_per_second: '0' })))
          .fields,
        ['bandwidth_bytes_per_second'],
      );
  });

  describe('while a source is waited for', () => {
    const waits = (all: Message[]) =>
      all.flatMap(({ retry }) => (retry === undefined ? [] : [retry as Message & { error: Message }]));

    for (const [what, more] of [
      ['a fetch', {}],
      ['a fetch by way of the cache', { use_cache: true }],
    ] as const)
      it(`${what} says which attempt comes next, when, and why`, async () => {
        const name = what.replaceAll(' ', '-');
        const faults = { status: { code: 503, times: 2 } };
        const seen = await events('FetchImage', {
          ...{ ...source(name, faults), target: image(name), source_format: 'raw', ...more },
        });
        const retries = waits(seen);
        assert.deepEqual([...new Set(retries.map(({ attempt }) => attempt))], [2, 3]);
        for (const { error, next_time: at } of retries) {
          assert.match(String(error['message']), /503/);
          assert.ok(Number((at as { seconds: string }).seconds) > Date.now() / 1000 - 60);
        }
        assert.equal(seen.at(-1)?.['retry'], undefined);
      });

    it('a line that breaks in the middle is such a wait too', async () => {
      const seen = await events('FetchRawImage', {
        ...{ ...source('cut', { cutAfter: { bytes: 100 * KIB, times: 1 } }), target: image('cut') },
      });
      assert.deepEqual([...new Set(waits(seen).map(({ attempt }) => attempt))], [2]);
      assert.ok((await readFile(image('cut'))).equals(CONTENT));
    });

    it('one that has given up does not wait any more', async () => {
      const { stranger } = daemon.get();
      const request = { ...source('gone', { status: { code: 500, times: 100 } }), target: image('gone') };
      assert.equal((await failure(events('FetchRawImage', request))).reason, 'SOURCE_UNAVAILABLE');
      const { operations } = (await stranger.unary('OperationService/ListOperations', {
        filter: { states: ['OPERATION_STATE_FAILED'] },
        page_size: 1000,
      })) as { operations: { last: Message }[] };
      assert.ok(operations.every(({ last }) => last['retry'] === undefined));
    });
  });
});
