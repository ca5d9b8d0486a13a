/**
 * Many long lists at once: the slices of all of them together hold the main thread no longer than
 * those of one.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';

const [EXTENTS, MAPS] = [5000, 12];
const BLOCK = 4096;

describe('maps of very many extents, as many at once as one caller may have', () => {
  const scratch = scratchFolder();
  // The watchdog of every daemon under test is what fails this test.
  const daemon = suiteDaemon(scratch);

  it('are whole, and hold nobody', async () => {
    const path = daemon.get().image('fragments.raw');
    const fd = openSync(path, 'w');
    for (let n = 0; n < EXTENTS; n++) writeSync(fd, Buffer.alloc(BLOCK, 1), 0, BLOCK, 2 * n * BLOCK);
    closeSync(fd);
    const maps = await Promise.all(
      Array.from({ length: MAPS }, () => daemon.get().stranger.all('ImageService/MapImage', { path, format: 'raw' })),
    );
    for (const pages of maps) {
      const data = pages.flatMap(({ extents }) => extents as Message[]).filter((extent) => extent['data'] === true);
      assert.equal(data.length, EXTENTS);
    }
  });
});
