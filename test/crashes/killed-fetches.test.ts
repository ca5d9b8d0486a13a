/**
 * Fetches whose daemon is killed, or stopped, in the middle: what has come does not come again, and
 * a detached one goes on by itself.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { needsSandbox } from '../support/sandbox.js';
import { scratchFolder } from '../support/scratch.js';
import { FaultServer } from '../support/servers/fault-server.js';
import type { Message } from '../support/stranger.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const http = (url: string) => ({ http: { url, headers: {} } });

describe('fetches that are killed', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const content = noise(40 * MIB);
  /** So that what a busy disk takes to make a checkpoint durable is little of the whole. */
  const slow = 5 * MIB;
  const daemons = new Map<string, Daemon>();
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  async function killedAt(
    name: string,
    request: Message,
    rpc: string,
    percent: number,
    bytesPerSecond = 10 * MIB,
    signal: NodeJS.Signals = 'SIGKILL',
  ): Promise<Message> {
    const folder = scratch.path(name);
    const first = await Daemon.start(folder, { server: 'drain_seconds = 0' });
    scratch.onEnd(() => daemons.get(name)?.stop() ?? Promise.resolve());
    const url = server.add(name, content, { bytesPerSecond });
    const ended = new Promise((resolve) => {
      const stream = first.stranger.stream(`ImageService/${rpc}`, { source: http(url), ...request });
      stream.on('data', () => undefined).once('error', resolve);
    });
    await until(() => server.file(name).sentBytes >= (content.length * percent) / 100);
    first.process.kill(signal);
    await Promise.all([ended, first.exited]);
    first.stranger.close();
    const second = await Daemon.start(folder);
    daemons.set(name, second);
    const found = await second.stranger.unary('OperationService/ListOperations', { filter: { kept_only: true } });
    return { operations: found['operations'], url };
  }

  it('the same request goes on: at most 5 % are sent twice', async () => {
    const target = scratch.path('again/images/target');
    // So that a checkpoint and what is on its way, which take a part of a second, are little of the
    // whole.
    const { operations, url } = await killedAt('again', { target }, 'FetchRawImage', 90, slow / 2);
    assert.equal((operations as Message[]).length, 1);
    const daemon = daemons.get('again');
    assert.ok(daemon !== undefined);
    const result = await daemon.stranger.operation('ImageService/FetchRawImage', { source: http(String(url)), target });
    assert.ok((await readFile(target)).equals(content));
    const sent = server.file('again').sentBytes;
    assert.ok(sent <= content.length * 1.05, `${String(sent)} bytes were sent`);
    assert.ok(Number((result['fetch'] as Message)['network_bytes']) < content.length * 0.2);
    assert.deepEqual(await daemon.leftovers(), []);
  }).timeout(60_000);

  async function goesOnAlone(signal: NodeJS.Signals, use_cache: boolean): Promise<void> {
    const name = `${signal}-${String(use_cache)}`;
    const request = { target: scratch.path(name, 'images/target'), use_cache, detach: true, labels: { own: '1' } };
    await killedAt(name, request, 'FetchImage', 60, slow, signal);
    const daemon = daemons.get(name);
    assert.ok(daemon !== undefined);
    const filter = { labels: { own: '1' } };
    const found = await daemon.stranger.unary('OperationService/ListOperations', { filter });
    const [operation] = found['operations'] as Message[];
    const events = await daemon.stranger.all('OperationService/WatchOperation', {
      operation_id: operation?.['operation_id'],
    });
    assert.equal(events.at(-1)?.['state'], 'OPERATION_STATE_SUCCEEDED', name);
    assert.equal(operation?.['attempt'], 2, name);
    assert.ok((await readFile(request.target)).equals(content), name);
    // What was on its way when it was ended comes again too: with three beside each other that may
    // be more than 5 %.
    const sent = server.file(name).sentBytes;
    assert.ok(sent <= content.length * 1.2, `${name}: ${String(sent)} bytes were sent`);
    assert.deepEqual(await daemon.leftovers(), []);
  }
  it('a detached one goes on by itself after a kill or SIGTERM, under its id, with the cache too', async () => {
    await Promise.all([goesOnAlone('SIGKILL', false), goesOnAlone('SIGTERM', false), goesOnAlone('SIGTERM', true)]);
  }).timeout(60_000);

  it('what has come is kept, shown, and removed by a cancel', async () => {
    const { operations } = await killedAt(
      'cancelled',
      { target: scratch.path('cancelled/images/t') },
      'FetchRawImage',
      50,
    );
    const [operation] = operations as Message[];
    assert.ok(Number((operation?.['kept'] as Message)['bytes']) > 10 * MIB);
    const daemon = daemons.get('cancelled');
    assert.ok(daemon !== undefined);
    assert.equal((await daemon.leftovers()).length, 2);
    const answer = await daemon.stranger.unary('OperationService/CancelOperation', {
      operation_id: operation?.['operation_id'],
    });
    const [cancelled] = answer['operations'] as { removed_paths: string[] }[];
    assert.equal(cancelled?.removed_paths.length, 2);
    assert.deepEqual(await daemon.leftovers(), []);
  }).timeout(60_000);

  it('a prefetch goes on too, and is an entry only when it is whole', async () => {
    const { url } = await killedAt('prefetched', {}, 'PrefetchImage', 60);
    const daemon = daemons.get('prefetched');
    assert.ok(daemon !== undefined);
    assert.equal((await daemon.stranger.unary('ImageService/ListCachedImages'))['images'], undefined);
    await daemon.stranger.operation('ImageService/PrefetchImage', { source: http(String(url)) });
    assert.ok(server.file('prefetched').sentBytes <= content.length * 1.2);
    assert.equal(((await daemon.stranger.unary('ImageService/ListCachedImages'))['images'] as Message[]).length, 1);
  }).timeout(60_000);
});
