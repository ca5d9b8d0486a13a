/** A stream into a sparse file: zeros leave holes, one write is under way, no failure is lost. */
import assert from 'node:assert/strict';
import { SparseSink, dataRanges } from '../../../src/domain/fetch/sparse-sink.js';
import { stateOf, turns } from '../../support/event-loop.js';
import { SlowFile } from './slow-file.js';

const BLOCK = 4096;
const PIECE = 1024 * 1024;
const data = (length: number) => Buffer.alloc(length, 7);
const zeros = (length: number) => Buffer.alloc(length);
const full = new Error('the disk is full');

describe('SparseSink', () => {
  let file: SlowFile;
  beforeEach(() => (file = new SlowFile()));
  /** Ends each call as it comes, until the work is done. */
  async function finish(work: Promise<void>): Promise<void> {
    for (let n = 0; (await stateOf(work)) === 'waits'; n++) file.at(n).resolve(undefined);
    await work;
  }
  const calls = () => file.asked.map(({ what, position, data: { length } }) => [what, position, length]);

  it('what comes in small pieces is written in one, when there is enough', async () => {
    const sink = new SparseSink(file, 0n);
    for (let n = 0; n < 4; n++) await sink.take(data(PIECE / 4));
    assert.deepEqual(calls(), [['write', 0n, PIECE]]);
    assert.deepEqual([sink.takenBytes, sink.writtenBytes], [BigInt(PIECE), 0n]);
    await finish(sink.flush());
    assert.equal(sink.writtenBytes, BigInt(PIECE));
  });

  it('one write is under way while the next piece comes; the one after waits', async () => {
    const sink = new SparseSink(file, 0n);
    await sink.take(data(PIECE));
    await sink.take(data(PIECE - 1));
    const third = sink.take(data(1));
    assert.equal(await stateOf(third), 'waits');
    assert.equal(file.asked.length, 1);
    file.at(0).resolve(undefined);
    await third;
    assert.deepEqual(calls(), [
      ['write', 0n, PIECE],
      ['write', BigInt(PIECE), PIECE],
    ]);
    assert.equal(sink.writtenBytes, BigInt(PIECE));
    file.at(1).resolve(undefined);
    await sink.flush();
  });

  for (const [title, start, content, expected] of [
    [
      'zeros at the end give the file its length',
      0n,
      [data(BLOCK), zeros(BLOCK)],
      [
        ['write', 0n, BLOCK],
        ['endAt', BigInt(2 * BLOCK), 0],
      ],
    ],
    ['nothing but zeros', 0n, [zeros(3 * BLOCK)], [['endAt', BigInt(3 * BLOCK), 0]]],
    [
      'zeros between data',
      0n,
      [data(BLOCK), zeros(BLOCK), data(BLOCK)],
      [
        ['write', 0n, BLOCK],
        ['write', BigInt(2 * BLOCK), BLOCK],
      ],
    ],
    [
      'blocks are counted from the beginning of the file',
      100n,
      [zeros(BLOCK - 100), zeros(BLOCK), data(1)],
      [
        ['write', 100n, BLOCK - 100],
        ['write', BigInt(2 * BLOCK), 1],
      ],
    ],
    [
      'zeros that fill no block are written',
      0n,
      [zeros(BLOCK), zeros(BLOCK - 1)],
      [['write', BigInt(BLOCK), BLOCK - 1]],
    ],
  ] as const)
    it(title, async () => {
      const sink = new SparseSink(file, start);
      for (const piece of content) await sink.take(piece);
      await finish(sink.flush());
      assert.deepEqual(calls(), expected);
      const length = content.reduce((sum, piece) => sum + piece.length, 0);
      const written = file.asked.reduce((sum, asked) => sum + asked.data.length, 0);
      assert.equal(sink.writtenBytes, start + BigInt(length));
      assert.equal(sink.zeroBytes, BigInt(length - written));
    });

  it('a write that failed is heard by whoever takes, passes or flushes next, and nothing is written behind', async () => {
    for (const next of ['take', 'pass', 'flush'] as const) {
      file = new SlowFile();
      const sink = new SparseSink(file, 0n);
      await sink.take(data(PIECE));
      file.at(0).reject(full);
      await turns();
      const heard = next === 'take' ? sink.take(data(PIECE)) : sink[next]();
      await assert.rejects(heard, full);
      assert.equal(file.asked.length, 1);
      assert.equal(sink.writtenBytes, 0n);
    }
  });

  it('an end that could not be set is no end', async () => {
    const sink = new SparseSink(file, 0n);
    await sink.take(zeros(BLOCK));
    const flushed = sink.flush();
    await turns();
    file.at(0).reject(full);
    await assert.rejects(flushed, full);
    assert.deepEqual([sink.writtenBytes, sink.zeroBytes], [0n, 0n]);
  });

  it('the data ranges of any bytes, put together, are what was not zeros', () => {
    for (const phase of [0, 1, 100, BLOCK - 1])
      for (const pieces of [
        [data(1)],
        [zeros(1)],
        [zeros(2 * BLOCK), data(3), zeros(2 * BLOCK)],
        [data(2 * BLOCK), zeros(BLOCK)],
      ]) {
        const bytes = Buffer.concat(pieces);
        const copy = Buffer.alloc(bytes.length);
        let last = -1;
        for (const [from, to] of dataRanges(bytes, phase)) {
          assert.ok(from > last && to > from, 'in order, apart, and not empty');
          bytes.copy(copy, from, from, to);
          last = to;
        }
        assert.ok(copy.equals(bytes));
      }
  });
});
