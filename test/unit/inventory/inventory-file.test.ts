/** The rows of an inventory: lists that stay as they began, changes that come once, damaged files. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { InventoryFile } from '../../../src/adapters/inventory/inventory-file.js';
import type { Region } from '../../../src/adapters/inventory/region.js';
import { scratchFolder } from '../../support/scratch.js';

const ALL: Region = { path: '/r', flat: false, inSight: 'all' };
const START = { folder: '', name: '' };

describe('the rows of an inventory', () => {
  const scratch = scratchFolder();
  let [now, files] = [1000, 0];
  const opened: InventoryFile[] = [];
  const open = (path = scratch.path(`file-${String(files++)}`), root = 'one') => {
    const file = InventoryFile.open(path, root, () => now);
    opened.push(file);
    return file;
  };
  afterEach(() => {
    for (const file of opened.splice(0)) file.close();
  });
  const put = (file: InventoryFile, path: string, facts = 'a', { isNew = true, base = null as string | null } = {}) => {
    const slash = path.lastIndexOf('/');
    const row = { stamp: '1', base, facts, isNew };
    file.transaction(() => file.put(path.slice(0, slash), path.slice(slash + 1), row));
  };
  const remove = (file: InventoryFile, path: string) => {
    const slash = path.lastIndexOf('/');
    file.transaction(() => file.remove(path.slice(0, slash), path.slice(slash + 1)));
  };
  const shown = (rows: readonly { folder: string; name: string; facts: string }[]) =>
    rows.map(({ folder, name, facts }) => `${folder}/${name} ${facts}`);
  const kinds = (file: InventoryFile, since: number, region = ALL, limit = 100) =>
    file.changes(region, since, limit).map(({ kind, folder, name }) => `${kind} ${folder}/${name}`);

  it('list what was there when the list began, whatever has changed since', () => {
    const file = open();
    for (const name of ['a', 'b', 'c', 'd']) put(file, `/r/${name}`);
    const at = file.number;
    assert.deepEqual(shown(file.page(ALL, at, START, 2)), ['/r/a a', '/r/b a']);
    put(file, '/r/c', 'other', { isNew: false });
    put(file, '/r/c', 'third', { isNew: false });
    remove(file, '/r/d');
    put(file, '/r/bb');
    assert.ok(file.lists(at));
    assert.deepEqual(shown(file.page(ALL, at, { folder: '/r', name: 'b' }, 9)), ['/r/c a', '/r/d a']);
    assert.deepEqual(shown(file.page(ALL, file.number, START, 9)), ['/r/a a', '/r/b a', '/r/bb a', '/r/c third']);
  });

  it('know when a list is too old to be continued, and not before', () => {
    const file = open();
    for (const name of ['a', 'b']) put(file, `/r/${name}`);
    const at = file.number;
    file.page(ALL, at, START, 1);
    now += 3_600_000;
    assert.ok(file.lists(at), 'nothing has changed');
    put(file, '/r/c');
    assert.ok(!file.lists(at));
    assert.ok(file.lists(file.number));
    assert.ok(!file.lists(file.number + 1));
    remove(file, '/r/none');
    assert.ok(file.lists(file.number));
  });

  it('have each change once, the latest of each name', () => {
    const file = open();
    put(file, '/r/a');
    const since = file.number;
    put(file, '/r/b');
    put(file, '/r/b', 'more', { isNew: false });
    put(file, '/r/a', 'more', { isNew: false });
    assert.deepEqual(kinds(file, since), ['created /r/b', 'changed /r/a']);
    put(file, '/r/a', 'another file');
    remove(file, '/r/b');
    put(file, '/r/c');
    remove(file, '/r/c');
    put(file, '/r/c', 'again');
    assert.deepEqual(kinds(file, since), ['created /r/a', 'created /r/c']);
    assert.deepEqual(kinds(file, since, ALL, 1), ['created /r/a']);
    assert.deepEqual(kinds(file, file.number), []);
  });

  it('have a new file before its changes, for a reader that takes some at a time', () => {
    const file = open();
    put(file, '/r/a');
    put(file, '/r/b');
    put(file, '/r/a', 'more', { isNew: false });
    put(file, '/r/c');
    put(file, '/r/b', 'other', { isNew: true });
    const seen: string[] = [];
    for (let since = 0, full = true; full;) {
      const rows = file.changes(ALL, since, 1);
      seen.push(...rows.map(({ kind, folder, name, facts }) => `${kind} ${folder}/${name} ${facts}`));
      since = rows.at(-1)?.number ?? since;
      full = rows.length === 1;
    }
    assert.deepEqual(seen, ['created /r/a more', 'changed /r/a more', 'created /r/c a', 'created /r/b other']);
    assert.deepEqual(kinds(file, 0), ['created /r/a', 'created /r/c', 'created /r/b']);
  });

  it('say nothing of what came and went between two questions', () => {
    const file = open();
    put(file, '/r/a');
    const since = file.number;
    put(file, '/r/b');
    const between = file.number;
    remove(file, '/r/b');
    assert.deepEqual(kinds(file, since), []);
    assert.deepEqual(kinds(file, between), ['removed /r/b']);
    // What was there, went, came again and went has gone.
    remove(file, '/r/a');
    put(file, '/r/a', 'again');
    remove(file, '/r/a');
    assert.deepEqual(kinds(file, since), ['removed /r/a']);
  });

  it('are asked for by places, which are whole names of folders, or files', () => {
    const file = open();
    for (const path of ['/r/vm/x', '/r/vm/deep/x', '/r/vm-2/x', '/r/vm0', '/r/x']) put(file, path);
    const paths = (region: Partial<Region>) =>
      shown(file.page({ ...ALL, ...region }, file.number, START, 9)).map((row) => row.slice(0, -2));
    assert.deepEqual(paths({ path: '/r/vm' }), ['/r/vm/x', '/r/vm/deep/x']);
    assert.deepEqual(paths({ path: '/r/vm', flat: true }), ['/r/vm/x']);
    assert.deepEqual(paths({ path: '/r/vm0' }), ['/r/vm0']);
    assert.deepEqual(paths({ inSight: ['/r/vm-2', '/r/x'] }), ['/r/x', '/r/vm-2/x']);
    assert.deepEqual(paths({ path: '/r/vm', inSight: ['/r/vm/deep', '/r/vm-2'] }), ['/r/vm/deep/x']);
    assert.deepEqual(paths({ inSight: [] }), []);
    assert.deepEqual(kinds(file, 0, { ...ALL, inSight: ['/r/vm-2'] }), ['created /r/vm-2/x']);
  });

  it('come page by page as they come at once, also between names that end before a slash does', () => {
    const file = open();
    const all = [
      '/r/a',
      '/r/vm',
      '/r/vm-2/x',
      '/r/vm/deep/x',
      '/r/vm/deep!/x',
      '/r/vm/x',
      '/r/vm!/x',
      '/r/vm0/x',
      '/s/x',
    ];
    for (const path of all) put(file, path);
    const at = file.number;
    file.page(ALL, at, START, 1);
    put(file, '/r/vm/deep/x', 'changed', { isNew: false });
    const inPages = (region: Region, limit: number) => {
      const paths: string[] = [];
      for (let behind = START, full = true; full;) {
        const rows = file.page(region, at, behind, limit);
        paths.push(...rows.map(({ folder, name }) => `${folder}/${name}`));
        behind = rows.at(-1) ?? behind;
        full = rows.length === limit;
      }
      return paths;
    };
    const regions: [Partial<Region>, readonly string[]][] = [
      [{ path: '/' }, all],
      [
        { path: '/', inSight: ['/s', '/r/vm', '/r/vm/deep'] },
        ['/r/vm', '/r/vm/deep/x', '/r/vm/deep!/x', '/r/vm/x', '/s/x'],
      ],
      [{ path: '/r' }, all.filter((path) => path.startsWith('/r/'))],
      [{ path: '/r', flat: true }, ['/r/a', '/r/vm']],
      [{ path: '/r', flat: true, inSight: ['/r/a', '/r/vm/deep'] }, ['/r/a']],
      [{ path: '/r/vm/deep', inSight: ['/r/vm'] }, ['/r/vm/deep/x']],
      [{ path: '/r/vm', inSight: ['/r/vm/deep', '/r/vm/deep!'] }, ['/r/vm/deep/x', '/r/vm/deep!/x']],
      [{ path: '/r/none' }, []],
    ];
    for (const [region, paths] of regions)
      for (const limit of [1, 2, 100])
        assert.deepEqual(inPages({ ...ALL, ...region }, limit).sort(), [...paths].sort(), JSON.stringify(region));
    assert.deepEqual(inPages({ ...ALL, path: '/' }, 1), inPages({ ...ALL, path: '/' }, 100));
  });

  it('count what is backed by a path, in sight', () => {
    const file = open();
    for (const path of ['/r/vm/x', '/r/vm-2/x']) put(file, path, 'a', { base: '/r/base' });
    assert.equal(file.dependants('/r/base', ALL), 2);
    assert.equal(file.dependants('/r/base', { ...ALL, path: '/r/base', inSight: ['/r/vm'] }), 1);
    assert.equal(file.dependants('/r/vm/x', ALL), 0);
  });

  it('go with their folder', () => {
    const file = open();
    for (const path of ['/r/vm/x', '/r/vm/deep/x', '/r/vm-2/x']) put(file, path);
    const since = file.number;
    file.transaction(() => file.removeTree('/r/vm'));
    assert.deepEqual(kinds(file, since).sort(), ['removed /r/vm/deep/x', 'removed /r/vm/x']);
    // A reader that takes one at a time comes past each of them.
    const [first] = file.changes(ALL, since, 1);
    assert.equal(kinds(file, first?.number ?? 0).length, 1);
    assert.deepEqual(file.foldersIn('/r'), ['/r/vm-2']);
  });

  it('are written as a whole or not at all', () => {
    const file = open();
    put(file, '/r/a');
    const { number } = file;
    assert.throws(() =>
      file.transaction(() => {
        file.remove('/r', 'a');
        throw new Error('in between');
      }),
    );
    assert.equal(file.number, number);
    assert.deepEqual(shown(file.page(ALL, number, START, 9)), ['/r/a a']);
  });

  it('live on in their file, and are made anew for another root and where the file is damaged', async () => {
    const path = scratch.path('kept');
    const first = InventoryFile.open(path, 'one');
    put(first, '/r/a');
    const { life, number } = first;
    first.close();
    const again = InventoryFile.open(path, 'one');
    assert.deepEqual([again.life, again.number], [life, number]);
    assert.deepEqual(kinds(again, 0), ['created /r/a']);
    again.close();
    const other = InventoryFile.open(path, 'two');
    assert.notEqual(other.life, life);
    assert.equal(other.number, 0);
    other.close();
    for (const content of ['no database', 'SQLite format 3\0'.repeat(500), '']) {
      await writeFile(path, content);
      const anew = InventoryFile.open(path, 'two');
      assert.notEqual(anew.life, other.life);
      assert.deepEqual(kinds(anew, 0), []);
      anew.close();
    }
  });
});
