/** Windows of sorted names: whatever their size, a list that goes from one to the next has all. */
import assert from 'node:assert/strict';
import {
  holdsNext,
  NameCollector,
  namesAfter,
  type NameWindow,
} from '../../../src/adapters/folders/listing/name-window.js';
import { WindowStore, type FolderStamp } from '../../../src/adapters/folders/listing/window-store.js';

/** In an order that is not that of the names. */
const names = Array.from({ length: 5000 }, (_, n) => `${String((n * 7919) % 5000)}-\xff${'x'.repeat(n % 50)}`);
const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')));

function windowOf(after: string | undefined, maxBytes: number): NameWindow {
  const collector = new NameCollector(after, maxBytes);
  for (const name of names) collector.add(name);
  return collector.window();
}

describe('windows of names', () => {
  for (const maxBytes of [1, 100, 4096, 100_000, 1 << 20])
    it(`of ${String(maxBytes)} bytes: page by page, all names come once and in order`, () => {
      const found: string[] = [];
      let windows = 0;
      for (let last: string | undefined; ;) {
        const window = windowOf(last, maxBytes);
        windows += 1;
        assert.ok(window.bytes <= maxBytes || window.names.length === 1, String(window.bytes));
        for (let more = true; more && holdsNext(window, last);) {
          const page = namesAfter(window, last, 7);
          found.push(...page.names);
          last = page.names.at(-1) ?? last;
          more = page.more;
          if (!more) assert.ok(window.toTheEnd);
        }
        // Names of one byte each would take 5000 readings.
        if (window.toTheEnd || windows === 60) break;
      }
      assert.deepEqual(found, sorted.slice(0, found.length));
      if (windows < 60) assert.equal(found.length, sorted.length);
    });

  it('of an empty folder', () => {
    const window = new NameCollector(undefined, 100).window();
    assert.ok(holdsNext(window, undefined) && holdsNext(window, 'x'));
    assert.deepEqual(namesAfter(window, undefined, 10), { names: [], more: false });
  });
});

describe('windows that are kept', () => {
  const HOUR_NS = 3_600_000_000_000n;
  const stamp = (key: string, changedNs: bigint, readAtNs = HOUR_NS): FolderStamp => ({
    ...{ key, isUnique: true, mtimeNs: changedNs, ctimeNs: changedNs, readAtNs },
  });
  const window = (bytes: number, after?: string): NameWindow => ({ after, names: ['m', 'n'], toTheEnd: false, bytes });

  it('serve a list that goes on, although the folder has changed', () => {
    const store = new WindowStore(1000);
    const kept = window(10);
    store.keep(stamp('1:2', 5n), kept);
    assert.equal(store.find(stamp('1:2', 6n), 'l'), kept);
    assert.equal(store.find(stamp('1:2', 6n), 'n'), undefined);
    assert.equal(store.find(stamp('1:3', 5n), 'l'), undefined);
  });

  it('serve a list that begins only as long as the folder is the same', () => {
    const store = new WindowStore(1000);
    const kept = window(10);
    store.keep(stamp('1:2', 5n), kept);
    assert.equal(store.find(stamp('1:2', 5n), undefined), kept);
    assert.equal(store.find(stamp('1:2', 6n), undefined), undefined);
    // What began before that gets no older names either.
    assert.equal(store.find(stamp('1:2', 6n), 'l'), undefined);
    // It may have changed again within the same tick of the clock.
    store.keep(stamp('1:2', 5n, 6n), kept);
    assert.equal(store.find(stamp('1:2', 5n), undefined), undefined);
  });

  it('serve a list that goes on only in the same folder, where a later one may have its number', () => {
    const store = new WindowStore(1000);
    const kept = window(10);
    store.keep(stamp('1:2', 5n), kept);
    assert.equal(store.find({ ...stamp('1:2', 5n), isUnique: false }, 'l'), kept);
    assert.equal(store.find({ ...stamp('1:2', 6n), isUnique: false }, 'l'), undefined);
  });

  it('are as many as fit: the one that was used longest ago goes', () => {
    const store = new WindowStore(25);
    const [one, two, three] = [window(10), window(10), window(10)];
    store.keep(stamp('1:1', 5n), one);
    store.keep(stamp('1:2', 5n), two);
    assert.equal(store.find(stamp('1:1', 5n), 'l'), one);
    store.keep(stamp('1:3', 5n), three);
    assert.equal(store.find(stamp('1:2', 5n), 'l'), undefined);
    assert.equal(store.find(stamp('1:1', 5n), 'l'), one);
    assert.equal(store.find(stamp('1:3', 5n), 'l'), three);
  });
});
