/** How `hostler tree` and `hostler du` draw an inventory. */
import assert from 'node:assert/strict';
import { drawTree, sumsOf } from '../../../src/cli/draw-inventory.js';

const image = (path: string, base?: string) => ({ path, base, text: path });

describe('the drawing of an inventory', () => {
  it('has overlays below what they are backed by, and what is not here by its name', () => {
    const images = [image('/a'), image('/b', '/a'), image('/c', '/b'), image('/d', '/a'), image('/e', '/elsewhere')];
    assert.equal(drawTree(images), ['/a', '├── /b', '│   └── /c', '└── /d', '/e on /elsewhere, not here'].join('\n'));
  });

  it('ends with images that are backed by each other, and shows each once', () => {
    const lines = drawTree([image('/a', '/b'), image('/b', '/a'), image('/c', '/c')]).split('\n');
    assert.deepEqual(lines, ['/a in a circle', '└── /b', '/c in a circle']);
  });

  it('sums what lies below each folder', () => {
    const images = ['vm/a', 'vm/deep/b', 'top', 'other/c'].map((name, n) => ({
      path: `/r/${name}`,
      allocatedBytes: BigInt(n + 1),
    }));
    assert.deepEqual(
      sumsOf('/r', images).map(({ folder, count, allocated }) => [folder, count, allocated]),
      [
        ['other', 1, 4n],
        ['vm', 2, 3n],
        ['.', 1, 3n],
      ],
    );
  });
});
