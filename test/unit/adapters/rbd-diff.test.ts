import assert from 'node:assert/strict';
import { DiffStream } from '../../../src/adapters/rbd/diff-stream.js';
import { StreamedBlocks } from '../../../src/domain/model/block-digest.js';
import { inTurns } from '../../../src/domain/model/async.js';

const MIB = 1 << 20;
const TIB = 1n << 40n;

/** As `rbd export-diff` writes it. */
function record(tag: string, ...numbers: readonly bigint[]): Buffer {
  const fields = Buffer.alloc(8 * numbers.length);
  for (const [index, number] of numbers.entries()) fields.writeBigUInt64LE(number, 8 * index);
  return Buffer.concat([Buffer.from(tag), fields]);
}

/** Of 4 TiB that are holes but for three MiB. */
async function digestOf(chunkBytes: number, signal = new AbortController().signal) {
  const data = Buffer.alloc(MIB, 7);
  const stream = Buffer.concat([
    Buffer.from('rbd diff v1\n'),
    record('s', 4n * TIB),
    ...[0n, TIB + 4096n, 3n * TIB].flatMap((at) => [record('w', at, BigInt(data.length)), data]),
    record('z', 3n * TIB + BigInt(MIB), 4096n),
    Buffer.from('e'),
  ]);
  const blocks = new StreamedBlocks();
  const diff = new DiffStream(blocks);
  for (let at = 0; at < stream.length; at += chunkBytes)
    await inTurns(diff.push(stream.subarray(at, at + chunkBytes)), signal);
  await inTurns(diff.end(4n * TIB), signal);
  return blocks.digest();
}

describe('the digest of a pool’s image', () => {
  it('is that of its bytes, however the stream is cut', async () => {
    const expected = new StreamedBlocks();
    let end = 0n;
    for (const at of [0n, TIB + 4096n, 3n * TIB]) {
      expected.zeros(at - end);
      expected.update(Buffer.alloc(MIB, 7));
      end = at + BigInt(MIB);
    }
    expected.zeros(4n * TIB - end);
    const digest = expected.digest();
    for (const chunk of [65_536, 4099, 5 * MIB]) assert.equal(await digestOf(chunk), digest);
  });

  it('lets others have their turn in a hole, and ends with its caller there', async () => {
    let turns = 0;
    const abort = new AbortController();
    const tick = () => {
      turns += 1;
      if (turns === 10) abort.abort(new Error('gone'));
      else setImmediate(tick);
    };
    setImmediate(tick);
    await assert.rejects(digestOf(65_536, abort.signal), /gone/);
    assert.equal(turns, 10);
  });
  it('fails on a stream that broke off, or goes back', async () => {
    const never = new AbortController().signal;
    for (const words of [record('w', 0n, 10n), Buffer.concat([record('z', TIB, 1n), record('z', 0n, 1n)])]) {
      const diff = new DiffStream(new StreamedBlocks());
      const all = async () => {
        await inTurns(diff.push(Buffer.concat([Buffer.from('rbd diff v1\n'), words])), never);
        await inTurns(diff.end(4n * TIB), never);
      };
      await assert.rejects(all(), { reason: 'TOOL_FAILED' });
    }
  });
});
