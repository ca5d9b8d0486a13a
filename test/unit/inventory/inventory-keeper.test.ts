/** What an inventory looks at before it answers. */
import assert from 'node:assert/strict';
import { mkdir, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InventoryKeeper } from '../../../src/adapters/inventory/inventory-keeper.js';
import { Inotify } from '../../../src/adapters/inventory/inotify.js';
import type { Region } from '../../../src/adapters/inventory/region.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';

describe('an inventory that is asked for changes', () => {
  const scratch = scratchFolder();

  it('delivers what it knows before it looks for more, so that a watch gets on while much changes', async function () {
    const probe = Inotify.open();
    needs(this, probe !== undefined, 'there is no inotify here');
    probe?.close();
    await mkdir(scratch.path('root'));
    const root = await realpath(scratch.path('root'));
    const { dev: device, ino: inode } = await stat(root, { bigint: true });
    const job = {
      ...{ root, identity: { device, inode }, closed: [], local: true },
      ...{ file: scratch.path('state/inventory.sqlite'), instances: '/none' },
    };
    await mkdir(scratch.path('state'));
    const moved: number[] = [];
    const keeper = new InventoryKeeper(job, {
      beat: () => undefined,
      moved: (number) => moved.push(number),
      failed: (error) => assert.fail(String(error)),
    });
    try {
      const region: Region = { path: root, flat: false, inSight: 'all' };
      await writeFile(join(root, 'one'), 'x');
      const page = await keeper.answer({ kind: 'page', region, limit: 10 });
      assert.ok(page.kind === 'page' && page.images.length === 1);
      await writeFile(join(root, 'two'), 'x');
      const changes = async (number: number) => {
        const answer = await keeper.answer({ kind: 'changes', region, since: { life: page.life, number }, limit: 10 });
        assert.ok(answer.kind === 'changes');
        return { names: answer.changes.map(({ name }) => name), upTo: answer.upTo };
      };
      const first = await changes(0);
      assert.deepEqual(first.names, ['one']);
      const second = await changes(first.upTo);
      assert.deepEqual(second.names, ['two']);
      assert.deepEqual((await changes(second.upTo)).names, []);
      assert.deepEqual(moved, [first.upTo, second.upTo]);
    } finally {
      keeper.close();
    }
  });
});
