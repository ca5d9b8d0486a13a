import type { ImageAddress } from '../address.js';
import { GrowingSpace } from '../operations/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { Aside, Files, Part } from '../ports.js';
import type { Transfers } from '../transfer/ports.js';
import { compressionOf } from './compression.js';
import type { Expander } from './ports.js';
import { SparseSink } from './sparse-sink.js';
import { assertWithin } from './transfer.js';

export interface ExpandPorts {
  readonly files: Files;
  readonly transfers: Transfers;
  readonly expander: Expander;
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
  const compression = await files.withBytes(came, compressionOf);
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
    if ((await expander.expand(compression, came, take, run.tool())) === 'followed')
      run.warn({ reason: 'TRAILING_DATA', message: `what follows the end of the ${compression} data was left out` });
    await sink.flush();
    await expanded.truncate(sink.takenBytes);
    space.release();
  } finally {
    await writer.close();
  }
  // What came stays until the end: after a crash it is expanded again, and does not come again.
  return expanded;
}
