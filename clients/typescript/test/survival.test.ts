import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, connect, type Hostler, type Operation } from '@hostler/client';
import type { WatchOperationsResponse } from '@hostler/client/v1';
import { QUICK, TRANSPORTS, daemon } from './daemon.ts';

const MIB = 2 ** 20;

/** Whether somebody listens on a Unix socket. */
async function accepts(path: string): Promise<boolean> {
  const socket = connectSocket(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // not yet
  } finally {
    socket.destroy();
  }
}

for (const [name, transport] of TRANSPORTS)
  describe(`a daemon that goes away, by ${name}`, () => {
    const image = (file: string) => daemon().image(`${name}-${file}`);
    let hostler: Hostler;
    before(async () => {
      hostler = await daemon().connect({ transport });
      await writeFile(image('data.raw'), Buffer.alloc(4 * MIB, name));
    });
    after(() => hostler.close());

    /** Takes some seconds. */
    const convert = (target: string, requestId = ''): Operation =>
      hostler.images.convertImage({
        source: image('data.raw'),
        sourceFormat: 'raw',
        target,
        targetFormat: 'qcow2',
        bandwidthBytesPerSecond: BigInt(MIB),
        requestId,
      });
    const moved = async (operation: Operation) => {
      for await (const { progress } of operation) if ((progress?.doneBytes ?? 0n) > 0n) return;
    };

    it('kill -9 in mid-operation: it runs again, and its result is replayed', async () => {
      const target = image('killed.qcow2');
      const operation = convert(target);
      await moved(operation);
      const first = operation.id;
      await daemon().order('kill');
      const { info } = await operation.result('image');
      assert.equal(info?.virtualSizeBytes, BigInt(4 * MIB));
      assert.notEqual(operation.id, first);
      const { replayed } = await convert(target, operation.requestId).result();
      assert.equal(replayed, true);
    });

    it('a daemon that ends and comes back later; without it a call gives up, with the cause', async () => {
      const operation = convert(image('stopped.qcow2'));
      await moved(operation);
      await daemon().order('stop');
      try {
        const retry = { ...QUICK, giveUpAfterMs: 1 };
        const made = hostler.images.createImage({ path: image('x'), format: 'raw' }, { retry });
        const error = await made.result().catch((each: unknown) => each);
        assert.ok(error instanceof ConnectionError, String(error));
        assert.equal(error.problem, 'no-such-socket');
        await assert.rejects(hostler.host.getHostInfo({}), { problem: 'no-such-socket' });
      } finally {
        await daemon().order('start');
      }
      await operation.result('image');
      await hostler.host.getHostInfo({});
    });

    it('the first call after an outage reaches the daemon', async () => {
      await daemon().order('stop');
      for (let times = 0; times < 5; times++)
        await assert.rejects(hostler.host.getHostInfo({}), { problem: 'no-such-socket' });
      const started = daemon().order('start');
      // By connections of our own, so that the library may still wait before its next try.
      const { pathname } = new URL(daemon().places.socket);
      while (!(await accepts(pathname))) await sleep(2);
      await hostler.host.getHostInfo({});
      await started;
    });

    it('a watch of one operation sees its end', async () => {
      const operation = convert(image('watched.qcow2'));
      await moved(operation);
      const watch = hostler.operations.watchOperation({ operationId: operation.id ?? '' });
      await operation.cancel();
      await assert.rejects(watch.result(), { reason: 'CANCELLED' });
      await assert.rejects(operation.result(), { reason: 'CANCELLED' });
    });

    it('a watch goes on after a restart, and misses nothing', async () => {
      const labels = { watched: name };
      const seen: WatchOperationsResponse[] = [];
      const make = (file: string) =>
        hostler.images
          .createImage({ path: image(file), format: 'raw', virtualSize: { case: 'size', value: '1M' }, labels })
          .result();
      const ends = () => seen.filter(({ event }) => event?.result !== undefined).flatMap(({ addresses }) => addresses);
      const stop = new AbortController();
      const waiting: (() => void)[] = [];
      const until = async (count: number) => {
        while (ends().length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      };
      const { cursor: now } = await hostler.operations.listOperations({ pageSize: 1 });
      const watch = (async () => {
        for await (const event of hostler.watch({ filter: { labels }, cursor: now }, { signal: stop.signal })) {
          seen.push(event);
          for (const resolve of waiting.splice(0)) resolve();
        }
      })();
      const watched = assert.rejects(watch, { name: 'AbortError' });
      await make('one.raw');
      await until(1);
      await daemon().order('kill');
      await make('two.raw');
      await until(2);
      stop.abort();
      await watched;
      assert.deepEqual(ends(), [image('one.raw'), image('two.raw')]);
      const cursor = seen.find(({ event }) => event?.result !== undefined)?.cursor ?? '';
      for await (const event of hostler.watch({ filter: { labels }, cursor })) {
        assert.deepEqual(event.addresses, [image('two.raw')]);
        break;
      }
    });

    it('a cursor that cannot be used is thrown', async () => {
      await assert.rejects(hostler.watch({ cursor: 'no cursor' }).next(), { reason: 'INVALID_FIELD' });
    });

    it('a client that was closed makes no call again', async () => {
      const own = await connect({ env: {}, address: daemon().places.socket, transport, retry: QUICK });
      const operation = own.images.convertImage({
        source: image('data.raw'),
        sourceFormat: 'raw',
        target: image('closed.qcow2'),
        targetFormat: 'qcow2',
        bandwidthBytesPerSecond: BigInt(MIB),
      });
      await moved(operation);
      own.close();
      await assert.rejects(operation.result(), { code: 1, message: 'this client is closed' });
    });
  });
