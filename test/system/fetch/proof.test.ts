/**
 * What a source gave to one caller for a secret is given to another only when the source lets that
 * one in too.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer, type Faults } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';
import { deferred } from '../../../src/domain/model/async.js';

const content = noise(200_000);
const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
const GOOD = { authorization: 'Bearer good' };
const BAD = { authorization: 'Bearer bad' };

/** Two callers, each with a folder of its own and one that both write. */
function twoCallers(folder: () => string): { readonly toml: string } {
  const role = (name: string) =>
    [
      `[[listeners]]\naddress = "unix://${folder()}/${name}.sock"\nrole = "${name}"`,
      `[roles.${name}]\nservices = ["ImageService"]`,
      `write = ["${folder()}/images/${name}", "${folder()}/images/shared"]`,
    ].join('\n');
  return { toml: `[fetch]\nattempts = 1\n${role('a')}\n${role('b')}\n` };
}

async function foldersOf(daemon: Daemon): Promise<void> {
  for (const name of ['a', 'b', 'shared']) await mkdir(daemon.image(name), { recursive: true });
}

const callers = (daemon: Daemon) => ({
  a: new Stranger(`unix://${daemon.folder}/a.sock`),
  b: new Stranger(`unix://${daemon.folder}/b.sock`),
});

const http = (url: string, headers: Record<string, string> = {}) => ({ http: { url, headers } });

describe('an image that came for a secret', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => twoCallers(() => scratch.path('daemon')));
  let server: FaultServer;
  let as: ReturnType<typeof callers>;
  before(async () => {
    server = await FaultServer.start();
    await foldersOf(daemon.get());
    as = callers(daemon.get());
    scratch.onEnd(() => {
      as.a.close();
      as.b.close();
      return server.close();
    });
  });
  let count = 0;
  const add = (faults: Faults = {}) => server.add(`image-${String(count++)}`, content, faults);
  const requests = (url: string) => server.file(new URL(url).pathname.slice(1)).requests;
  const fetch = async (who: 'a' | 'b', source: Message, more: Message = {}) => {
    const target = daemon.get().image(`${who}/${String(count++)}`);
    const answer = await as[who].operation('ImageService/FetchImage', { source, target, use_cache: true, ...more });
    assert.ok((await readFile(target)).equals(content));
    return answer['fetch'] as Message;
  };
  const refused = async (source: Message, more: Message = {}) =>
    assert.equal((await failure(fetch('b', source, more))).reason, 'SOURCE_REFUSED');

  it('is not given to who knows its checksum only', async () => {
    const url = add({ authorization: GOOD.authorization });
    await fetch('a', http(url, GOOD), { checksum });
    await refused(http(url), { checksum });
    await refused(http(url, BAD), { checksum });
    await refused(http(url));
  });
  it('is given from the cache to who knows the secret too, after one question', async () => {
    const url = add({ authorization: GOOD.authorization });
    await fetch('a', http(url, GOOD), { checksum });
    const before = requests(url);
    const { from_cache: fromCache } = await fetch('b', http(url, GOOD), { checksum });
    assert.deepEqual([fromCache, requests(url) - before], [true, 1]);
  });
  it('is asked for also where nothing tells one content from another', async () => {
    const url = add({ authorization: GOOD.authorization, noValidator: true });
    await fetch('a', http(url, GOOD), { checksum });
    await refused(http(url, BAD), { checksum });
    // It comes again: that the source lets somebody in does not prove of what.
    assert.notEqual((await fetch('b', http(url, GOOD), { checksum }))['from_cache'], true);
  });
  it('is asked for where the secret is in the query', async () => {
    const url = add();
    await fetch('a', http(`${url}?signature=one`), { checksum });
    const before = requests(url);
    await fetch('b', http(`${url}?signature=one`), { checksum });
    assert.equal(requests(url) - before, 1);
  });
  it('is given without a question when it came without a secret', async () => {
    const url = add();
    await fetch('a', http(url), { checksum });
    assert.equal((await fetch('b', http(url, BAD), { checksum }))['from_cache'], true);
    assert.equal(requests(url), 1);
  });

  it('is shown with its source and checksum to who was given it, and to admins', async () => {
    const url = add({ authorization: GOOD.authorization });
    const { cache_id: id } = await fetch('a', http(url, GOOD), { checksum });
    const seen = async (who: Stranger) => {
      const { images = [] } = await who.unary('ImageService/ListCachedImages');
      const pinned = await who.unary('ImageService/PinCachedImage', { cache_id: id, pinned: false });
      const listed = (images as Message[]).find((image) => image['cache_id'] === id);
      return [listed, pinned['image'] as Message].map((image) => [image?.['source'], image?.['checksum']]);
    };
    const all = [url, checksum];
    for (const who of [as.a, daemon.get().stranger]) assert.deepEqual(await seen(who), [all, all]);
    const [listed, pinned] = await seen(as.b);
    assert.deepEqual([listed, pinned], [Array(2).fill(undefined), Array(2).fill(undefined)]);
    await fetch('b', http(url, GOOD), { checksum });
    assert.deepEqual(await seen(as.b), [all, all]);
  });

  it('is brought for who knows the secret, though one who does not came first', async () => {
    const [asked, answer] = [deferred(), deferred()];
    const guarded = createServer((request, response) => {
      void (async () => {
        const isGood = request.headers.authorization === GOOD.authorization;
        asked.resolve();
        if (!isGood) await answer.promise;
        response.writeHead(isGood ? 200 : 401).end(isGood ? content : '');
      })();
    });
    await new Promise<void>((resolve) => guarded.listen(0, '127.0.0.1', resolve));
    scratch.onEnd(() => new Promise((resolve) => guarded.close(resolve)));
    const url = `http://127.0.0.1:${String((guarded.address() as AddressInfo).port)}/image`;
    const first = failure(fetch('b', http(url, BAD), { checksum }));
    await asked.promise;
    const second = fetch('a', http(url, GOOD), { checksum });
    await until(async () => {
      const filter = { methods: ['FetchImage'], states: ['OPERATION_STATE_RUNNING'] };
      const { operations = [] } = await daemon.get().stranger.unary('OperationService/ListOperations', { filter });
      return (operations as Message[]).length === 2;
    });
    answer.resolve();
    assert.equal((await first).reason, 'SOURCE_REFUSED');
    await second;
  });
});

describe('what a fetch for a secret had brought when the daemon died', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });

  for (const { title, use_cache, target, faults, step } of [
    { title: 'whole, in the cache', use_cache: true, target: 'b/image', faults: {}, step: 'FillCache:identify' },
    {
      title: 'whole, at a target of both',
      use_cache: false,
      target: 'shared/image',
      faults: {},
      step: 'FetchImage:identify',
    },
    {
      title: 'whole, and nothing tells one content from another',
      use_cache: false,
      target: 'shared/image',
      faults: { noValidator: true },
      step: 'FetchImage:identify',
    },
  ] as const)
    it(`is not given to another caller without it: ${title}`, async () => {
      const folder = scratch.path('killed');
      await rm(folder, { recursive: true, force: true });
      const { toml } = twoCallers(() => folder);
      const url = server.add(step, content, { ...faults, authorization: GOOD.authorization });
      const ask = (path: string, headers: Record<string, string>) => ({
        target: `${folder}/images/${path}`,
        use_cache,
        source: http(url, headers),
        checksum,
      });
      const killed = await Daemon.start(folder, { toml: `${toml}\n[debug]\nfailpoints = ["${step}:kill"]\n` });
      await foldersOf(killed);
      const first = callers(killed);
      await failure(first.a.operation('ImageService/FetchImage', ask(use_cache ? 'a/image' : target, GOOD)));
      await killed.exited;
      const next = await Daemon.start(folder, { toml });
      const as = callers(next);
      try {
        for (const headers of [BAD, {}]) {
          const error = await failure(as.b.operation('ImageService/FetchImage', ask(target, headers)));
          assert.equal(error.reason, 'SOURCE_REFUSED');
          await assert.rejects(readFile(`${folder}/images/${target}`));
        }
        const sent = server.file(step).sentBytes;
        await as.b.operation('ImageService/FetchImage', ask(target, GOOD));
        assert.ok((await readFile(`${folder}/images/${target}`)).equals(content));
        if (!('noValidator' in faults)) assert.equal(server.file(step).sentBytes, sent, 'nothing came twice');
      } finally {
        for (const each of [first.a, first.b, as.a, as.b]) each.close();
        await next.stop();
      }
    });
});
