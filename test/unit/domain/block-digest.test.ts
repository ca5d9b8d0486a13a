/** The block digest, computed by every way that there is, against its definition. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import {
  BLOCK_BYTES,
  StreamedBlocks,
  blockRanges,
  type BlockRange,
  type DataExtent,
} from '../../../src/domain/model/block-digest.js';
import { RunningDigest } from '../../../src/domain/transfer/running-digest.js';
import { blockDigest, noise } from '../../support/images/disks.js';
import { turnsDuring } from '../../support/turns.js';
import { CHECKSUM_ALGORITHMS } from '../../../src/domain/model/checksum.js';

async function runsOf(stretches: readonly DataExtent[], length: bigint): Promise<BlockRange[]> {
  const runs: BlockRange[] = [];
  for await (const run of blockRanges(Readable.from(stretches), length)) runs.push(run);
  return runs;
}

const block = BigInt(BLOCK_BYTES);

describe('block digest', () => {
  for (const length of [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 777]) {
    for (const piece of [1_000_003, 262_144]) {
      it(`of ${String(length)} bytes in pieces of ${String(piece)} is as defined`, () => {
        const bytes = noise(length);
        const blocks = new StreamedBlocks();
        for (let at = 0; at < length; at += piece) blocks.update(bytes.subarray(at, at + piece));
        assert.equal(blocks.digest(), blockDigest(bytes));
      });
    }
  }

  it('of zeros as runs is that of zeros as bytes', () => {
    for (const [before, zeros, after] of [
      [0, 3 * BLOCK_BYTES, 0],
      [5, 3 * BLOCK_BYTES, 7],
      [BLOCK_BYTES - 1, 1, 1],
      [BLOCK_BYTES, BLOCK_BYTES + 1, 0],
      [100, 100, 100],
    ] as const) {
      const blocks = new StreamedBlocks();
      const [head, tail] = [noise(before), noise(after)];
      blocks.update(head);
      blocks.zeros(BigInt(zeros));
      blocks.update(tail);
      assert.equal(blocks.digest(), blockDigest(Buffer.concat([head, Buffer.alloc(zeros), tail])));
    }
  });

  it('of 8 TiB of zeros takes no time', () => {
    const blocks = new StreamedBlocks();
    blocks.zeros(8n << 40n);
    assert.match(blocks.digest(), /^[0-9a-f]{64}$/);
  });

  it('of petabytes of zeros lets others have their turn, and hears a cancel', async () => {
    const { result, turns } = await turnsDuring(async () => {
      const digest = new RunningDigest('sha256-4m-blocks');
      await digest.take({ zeros: 1n << 45n });
      return digest.digest();
    });
    const atOnce = new StreamedBlocks();
    atOnce.zeros(1n << 45n);
    assert.equal(result, atOnce.digest());
    assert.ok(turns >= 100, `${String(turns)} turns`);
    for (const algorithm of CHECKSUM_ALGORITHMS) {
      const stop = new AbortController();
      setImmediate(() => stop.abort(new Error('stop')));
      await assert.rejects(new RunningDigest(algorithm).take({ zeros: 1n << 60n }, stop.signal), /stop/, algorithm);
    }
  });

  it('hashes what data touches, once, and the last block that is not whole', async () => {
    assert.deepEqual(await runsOf([], 0n), []);
    assert.deepEqual(await runsOf([], 2n * block), [{ first: 0, count: 2, zero: true }]);
    assert.deepEqual(await runsOf([], block + 1n), [
      { first: 0, count: 1, zero: true },
      { first: 1, count: 1, zero: false },
    ]);
    const stretches = [
      { offsetBytes: block + 5n, lengthBytes: 1n, data: true },
      { offsetBytes: block + 6n, lengthBytes: 10n, data: false },
      { offsetBytes: block + 16n, lengthBytes: block, data: true },
    ];
    assert.deepEqual(await runsOf(stretches, 5n * block), [
      { first: 0, count: 1, zero: true },
      { first: 1, count: 1, zero: false },
      { first: 2, count: 1, zero: false },
      { first: 3, count: 2, zero: true },
    ]);
  });

  it('an extent that qemu rounded up beyond the end adds no block', async () => {
    const runs = await runsOf([{ offsetBytes: 0n, lengthBytes: block + 512n, data: true }], block);
    assert.deepEqual(runs, [{ first: 0, count: 1, zero: false }]);
  });
});
