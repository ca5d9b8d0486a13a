/** What --json writes of a list, also of one that breaks off. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ownStatus } from '../../../src/cli/failure.js';
import { JsonPrinter } from '../../../src/cli/json/printer.js';
import { loadProtoJson } from '../../../src/cli/json/proto-json.js';
import { Extent } from '../../../src/gen/hostler/v1/image.js';

describe('the JSON of a list', () => {
  const toJson = loadProtoJson();
  /** What is written of so many extents, and of an error behind them. */
  async function printed(count: number, fails: boolean): Promise<unknown> {
    const out = new PassThrough({ highWaterMark: 16 });
    const written = text(out);
    const printer = new JsonPrinter(toJson, out);
    async function* extents() {
      for (let index = 0; index < count; index += 1) yield Extent.fromPartial({ offsetBytes: BigInt(index) });
      if (fails) throw new Error('the stream broke off');
      await Promise.resolve();
    }
    await printer.list('extents', Extent, extents()).catch(() => {
      printer.error(ownStatus('CONNECTION_LOST', 'gone'));
    });
    out.end();
    const whole = await written;
    assert.ok(whole.endsWith('}\n'));
    return JSON.parse(whole);
  }
  const offsets = (list: unknown) =>
    (list as { extents: { offsetBytes: string }[] }).extents.map((each) => each.offsetBytes);

  it('is one object, however long it is', async () => {
    assert.deepEqual(await printed(0, false), { extents: [] });
    assert.deepEqual(offsets(await printed(3, false)), ['0', '1', '2']);
  });

  it('has the error beside the items that came', async () => {
    const broken = await printed(2, true);
    assert.deepEqual(offsets(broken), ['0', '1']);
    assert.equal((broken as { error: { message: string } }).error.message, 'gone');
    assert.deepEqual(Object.keys((await printed(0, true)) as object), ['error']);
  });
});
