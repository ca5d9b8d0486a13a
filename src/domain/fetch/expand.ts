import type { ImageAddress } from '../address.js';
import { GrowingSpace } from '../operations/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { Aside, Files, Part } from '../ports.js';
import type { Transfers } from '../transfer/ports.js';
import type { Compression, Expander } from './ports.js';
import { SparseSink } from './sparse-sink.js';
import { assertWithin } from './transfer.js';

export interface ExpandPorts {
  readonly files: Files;
  readonly transfers: Transfers;
  readonly expander: Expander;
}

const MARKS: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [0x1f, 0x8b, 0x08],
  xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
  // `BZh`, a digit, and the mark of the first block.
  bzip2: [0x42, 0x5a, 0x68],
};
const BZIP2_BLOCK = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
const HEAD_BYTES = 10;

export function compressionOf(head: Buffer): Compression | undefined {
  const begins = (mark: readonly number[], at = 0) => head.subarray(at, at + mark.length).equals(Buffer.from(mark));
  if (begins(MARKS.gzip)) return 'gzip';
  if (begins(MARKS.xz)) return 'xz';
  if (begins(MARKS.zstd)) return 'zstd';
  return begins(MARKS.bzip2) && begins(BZIP2_BLOCK, 4) ? 'bzip2' : undefined;
}

/** The file that holds the image: what came, or what that expands to, with holes for zeros. Fails with IMAGE_TOO_LARGE, IMAGE_MALFORMED, NO_SPACE. */
export async function expand(
  part: Part,
  target: ImageAddress,
  maxBytes: bigint,
  run: Run,
  { files, transfers, expander }: ExpandPorts,
): Promise<Aside> {
  const came = { ...part.aside, address: target };
  const compression = compressionOf(await files.withBytes(came, (bytes) => bytes.read(0n, HEAD_BYTES)));
  if (compression === undefined) return part.aside;
  run.phase('CONVERTING');
  await run.step('expand');
  const { expanded } = part;
  await expanded.remove();
  const writer = await transfers.writer(expanded, target);
  try {
    const sink = new SparseSink(writer, 0n);
    const space = new GrowingSpace(run, target, expanded);
    const take = async (piece: Uint8Array) => {
      const bytes = sink.takenBytes + BigInt(piece.length);
      assertWithin(bytes, maxBytes, `what ${compression} holds in ${target}`);
      await space.upTo(bytes - sink.zeroBytes);
      await sink.take(piece);
      run.progress({ doneBytes: sink.takenBytes, skippedBytes: sink.zeroBytes });
    };
    await expander.expand(compression, came, take, run.tool());
    await sink.flush();
    await expanded.truncate(sink.takenBytes);
    space.release();
  } finally {
    await writer.close();
  }
  // What came stays until the end: after a crash it is expanded again, and does not come again.
  return expanded;
}
