import assert from 'node:assert/strict';
import { access, truncate, writeFile } from 'node:fs/promises';
import { HostlerError, type Hostler } from '@hostler/client';
import { TRANSPORTS, daemon } from './daemon.ts';

for (const [name, transport] of TRANSPORTS)
  describe(`operations by ${name}`, () => {
    const image = (file: string) => daemon().image(`${name}-${file}`);
    let hostler: Hostler;
    before(async () => {
      hostler = await daemon().connect({ transport });
    });
    after(() => hostler.close());

    it('a result is typed by its kind', async () => {
      const path = image('made.qcow2');
      const operation = hostler.images.createImage({
        path,
        format: 'qcow2',
        virtualSize: { case: 'size', value: '1G' },
      });
      const { info } = await operation.result('image');
      assert.equal(info?.virtualSizeBytes, 2n ** 30n);
      assert.match(operation.id ?? '', /^[0-9A-Z]{26}$/);
      await assert.rejects(operation.result('copy'), /the result is image, not copy/);
    });

    it('events come until the last one, and to the callback', async () => {
      const seen: string[] = [];
      const path = image('events.raw');
      const request = { path, format: 'raw', virtualSize: { case: 'virtualSizeBytes', value: 2n ** 20n } } as const;
      const operation = hostler.images.createImage(request, { onProgress: (event) => seen.push(event.operationId) });
      const states: number[] = [];
      for await (const event of operation) states.push(event.state);
      assert.equal(states.at(-1), 4);
      assert.ok(seen.length >= states.length);
      assert.deepEqual(new Set(seen), new Set([operation.id]));
    });

    it('an error has reason, facts, and wrong fields', async () => {
      const path = image('missing.qcow2');
      const failed = hostler.images.resizeImage({ path, format: 'qcow2', virtualSize: { case: 'size', value: '2G' } });
      const error = await failed.result().catch((each: unknown) => each);
      assert.ok(error instanceof HostlerError);
      assert.deepEqual([error.reason, error.code, error.facts['path']], ['IMAGE_NOT_FOUND', 5, path]);
      const wrong = await hostler.images.getImageInfo({ path: 'relative' }).catch((each: unknown) => each);
      assert.ok(wrong instanceof HostlerError);
      assert.equal(wrong.reason, 'INVALID_FIELD');
      assert.deepEqual(
        wrong.fieldViolations.map(({ field }) => field),
        ['path'],
      );
    });

    it('a call by the same request id gets the first result', async () => {
      const request = {
        path: image('twice.raw'),
        format: 'raw',
        virtualSize: { case: 'size', value: '1M' },
        requestId: `twice-${name}`,
      } as const;
      assert.equal((await hostler.images.createImage(request).result()).replayed, false);
      assert.equal((await hostler.images.createImage(request).result()).replayed, true);
    });

    it('streams that are no operations are iterables', async () => {
      const path = image('text');
      await writeFile(path, 'some text');
      const pieces: Uint8Array[] = [];
      for await (const { data } of hostler.files.readFile({ path })) pieces.push(data);
      assert.equal(Buffer.concat(pieces).toString(), 'some text');
    });

    it('a cancel says what was removed', async () => {
      const source = image('large.raw');
      await writeFile(source, Buffer.alloc(2 ** 24, 'x'));
      await truncate(source, 2 ** 26);
      const operation = hostler.images.convertImage({
        source,
        sourceFormat: 'raw',
        target: image('converted.qcow2'),
        targetFormat: 'qcow2',
        bandwidthBytesPerSecond: 2n ** 20n,
      });
      for await (const event of operation) if (event.progress !== undefined) break;
      const cancelled = await operation.cancel();
      assert.equal(cancelled?.operationId, operation.id);
      await assert.rejects(operation.result(), { reason: 'CANCELLED' });
      await assert.rejects(access(image('converted.qcow2')));
    });

    it('a signal ends the call', async () => {
      const reason = new Error('no more');
      const operation = hostler.images.createImage(
        { path: image('never.raw'), format: 'raw', virtualSize: { case: 'size', value: '1M' } },
        { signal: AbortSignal.abort(reason) },
      );
      await assert.rejects(operation.result(), reason);
    });
  });
