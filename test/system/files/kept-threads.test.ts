/** A thread that ends leaves mappings of memory behind, of which a process may have 65,530. */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';

const CALLS = 40;

describe('calls that need a thread', function () {
  before(function () {
    needs(this, isRoot, 'needs root, to give files to others');
  });
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const mappings = async () =>
    (await readFile(`/proc/${String(daemon.get().process.pid)}/maps`, 'utf8')).split('\n').filter(isOfLibrary).length;

  it('of walks through trees leave no mappings behind', async () => {
    const path = daemon.get().image('tree');
    await mkdir(join(path, 'below'), { recursive: true });
    const maps = [{ start: 0, target: 100_000, count: 65_536 }];
    const walk = () =>
      daemon.get().stranger.operation('FileService/ChownForIdMaps', { path, uid_maps: maps, gid_maps: maps });
    await walk();
    const before = await mappings();
    for (let n = 0; n < CALLS; n += 1) await walk();
    const after = await mappings();
    // Two mappings of this size for each thread that has ended.
    assert.ok(after < before + CALLS / 2, `${String(before)} -> ${String(after)} mappings`);
  });
});

/** The stack and the heap that koffi gives each thread in which it makes a call. */
function isOfLibrary(line: string): boolean {
  const [, from = '0', to = '0', name = ''] = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
  const kib = (parseInt(to, 16) - parseInt(from, 16)) / 1024;
  return name === '' && (kib === 1024 || kib === 2052);
}
