/** The arithmetic of id maps. */
import assert from 'node:assert/strict';
import { changedOwner, isSettled, shiftId } from '../../../src/domain/model/owner-change.js';

const MAPS = [
  { start: 0, target: 10_000, count: 10 },
  { start: 10, target: 20_000, count: 1000 },
];

describe('id maps', () => {
  for (const [id, expected] of [
    [0, 10_000],
    [9, 10_009],
    [10, 20_000],
    [100, 20_090],
    [1009, 20_999],
    [1010, 65_534],
    [65_534, 65_534],
    [4_294_967_294, 65_534],
  ] as const)
    it(`parity row 2: ${String(id)} becomes ${String(expected)}`, () => {
      assert.equal(shiftId(id, MAPS), expected);
    });

  it('parity row 2: the first map that knows an id decides, and a full container map moves nobody too', () => {
    const overlapping = [
      { start: 0, target: 100, count: 10 },
      { start: 5, target: 900, count: 10 },
    ];
    assert.deepEqual(
      [5, 9, 10, 14].map((id) => shiftId(id, overlapping)),
      [105, 109, 905, 909],
    );
    assert.equal(shiftId(65_534, [{ start: 0, target: 100_000, count: 65_536 }]), 165_534);
  });

  it('what an interrupted walk has done stays done', () => {
    for (const id of [10_000, 10_009, 20_000, 20_999, 65_534]) assert.equal(shiftId(id, MAPS), id);
    assert.equal(shiftId(10_010, MAPS), 65_534);
  });

  it('an empty list is no map: ids stay', () => {
    const change = { kind: 'shift', uidMaps: [], gidMaps: MAPS, rightsOnHost: false } as const;
    assert.deepEqual(changedOwner({ uid: 7, gid: 7 }, change), { uid: 7, gid: 10_007 });
    assert.equal(isSettled({ uid: 7, gid: 7 }, change), false);
    assert.equal(isSettled({ uid: 7, gid: 20_500 }, change), true);
  });
});
