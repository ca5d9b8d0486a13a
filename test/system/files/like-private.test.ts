/**
 * Walks of trees leave out what only the daemon can enter, and nothing whose name looks like it.
 */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';

const OURS = '.hostler-0123456789ab-01AAAAAAAAAAAAAAAAAAAAAAAA';
const SHIFTED = 100_000;

describe('names like those of the folders of operations', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (...names: string[]) => daemon.get().image(['tree', ...names].join('/'));

  before(async function () {
    needs(this, isRoot, 'needs root to give files away');
    await mkdir(at('deep/.hostler-d'), { recursive: true });
    for (const [folder, mode] of [
      [OURS, 0o700],
      [`deep/${OURS}`, 0o755],
      ['.hostler-0123456789ab', 0o700],
      [`${OURS}-of-another`, 0o700],
    ] as const) {
      await mkdir(at(folder));
      await chmod(at(folder), mode);
    }
    await chown(at(`${OURS}-of-another`), 7, 7);
    for (const name of [
      '.hostler-sh',
      'deep/.hostler-d/sh',
      `deep/${OURS}/sh`,
      '.hostler-0123456789ab/sh',
      `${OURS}-of-another/sh`,
      `${OURS}/part`,
      `deep/${OURS.replace('A', 'B')}`,
    ]) {
      await writeFile(at(name), '');
      await chmod(at(name), 0o4755);
    }
  });
  const owners = (names: readonly string[]) => Promise.all(names.map(async (name) => (await stat(at(name))).uid));

  for (const rpc of ['ChownForIdMaps', 'Chown'])
    it(rpc, async () => {
      const map = [{ start: 0, target: SHIFTED, count: 65_536 }];
      const path = at();
      const { stranger } = daemon.get();
      if (rpc === 'Chown') await stranger.operation('FileService/Chown', { path, owner: '200000', recursive: true });
      else await stranger.operation('FileService/ChownForIdMaps', { path, uid_maps: map, gid_maps: map });
      const owner = rpc === 'Chown' ? 200_000 : SHIFTED;
      const changed = [
        '.hostler-sh',
        'deep/.hostler-d',
        'deep/.hostler-d/sh',
        `deep/${OURS}`,
        `deep/${OURS}/sh`,
        '.hostler-0123456789ab/sh',
        `${OURS}-of-another/sh`,
        `deep/${OURS.replace('A', 'B')}`,
      ];
      assert.deepEqual(
        await owners(changed),
        changed.map(() => owner),
      );
      assert.deepEqual(await owners([OURS, `${OURS}/part`]), [0, 0]);
    });
});
