import assert from 'node:assert/strict';
import { ExtentDrawing } from '../../../src/cli/draw-extents.js';
import { Extent } from '../../../src/gen/hostler/v1/image.js';

describe('the drawing of extents', () => {
  const draw = (...extents: [length: number, data: boolean, zero: boolean][]) => {
    const drawing = new ExtentDrawing();
    let offset = 0n;
    for (const [length, data, zero] of extents) {
      drawing.add(Extent.fromPartial({ offsetBytes: offset, lengthBytes: BigInt(length), data, zero }));
      offset += BigInt(length);
    }
    return drawing
      .toString()
      .split('\n')
      .slice(0, 4)
      .map((row) => row.slice(row.indexOf('|') + 1, -1))
      .join('');
  };
  const times = (mark: string, count: number) => mark.repeat(count);

  it('a cell for each equal part of the disk', () => {
    assert.equal(
      draw([64 << 20, true, false], [64 << 20, false, true], [128 << 20, true, true]),
      times('#', 64) + times('.', 64) + times('0', 128),
    );
  });
  it('a cell with two kinds says so, neighbours of one kind are one', () => {
    assert.equal(draw([512, true, false], [512, true, false], [(1 << 20) - 1024, false, true]), `+${times('.', 255)}`);
  });
  it('a disk with fewer bytes than cells, and none at all', () => {
    assert.equal(draw([3, true, false]), times('#', 256));
    assert.equal(new ExtentDrawing().toString(), 'nothing');
  });
});
