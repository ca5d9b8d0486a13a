import type { ImageAddress } from '../address.js';
import { GrowingSpace } from '../operations/growing-space.js';
import type { Run } from '../operations/verb.js';
import type { Aside, Files, Part } from '../ports.js';
import type { Transfers } from '../transfer/ports.js';
import { compressionOf } from './compression.js';
import type { Expander } from './ports.js';
import { SparseSink } from './sparse-sink.js';
import { assertWithin } from './wrong-bodies.js';

export interface ExpandPorts {
  readonly files: Files;
  readonly transfers: Transfers;
  readonly expander: Expander;
}

/** The file that holds the image: this one, or what it expands to, with holes for zeros. Fails with IMAGE_TOO_LARGE, IMAGE_MALFORMED, NO_SPACE. */
export async function expand(
  file: Aside,
  part: Part,
  target: ImageAddress,
  maxBytes: bigint,
  run: Run,
  { files, transfers, expander }: ExpandPorts,
): Promise<Aside> {
  const came = { ...file, address: target };
  const compression = await files.withBytes(came, compressionOf);
  if (compression === undefined) return file;
  run.phase('CONVERTING');
  await run.step('expand');
  const end = await fill(part.expanded, target, compression, maxBytes, run, transfers, (take) =>
    expander.expand(compression, came, take, run.tool()),
  );
  if (end === 'followed')
    run.warn({ reason: 'TRAILING_DATA', message: `what follows the end of the ${compression} data was left out` });
  // What came stays until the end: after a crash it is expanded again, and does not come again.
  return part.expanded;
}

/** Makes a file of what `produce` gives, with holes for zeros; of what was there before nothing stays. Fails with IMAGE_TOO_LARGE, NO_SPACE. */
export async function fill<T>(
  into: Aside,
  target: ImageAddress,
  what: string,
  maxBytes: bigint,
  run: Run,
  transfers: Transfers,
  produce: (take: (piece: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  await into.remove();
  const writer = await transfers.writer(into, target);
  try {
    const sink = new SparseSink(writer, 0n);
    const show = () => run.progress({ doneBytes: sink.takenBytes - sink.zeroBytes, skippedBytes: sink.zeroBytes });
    const space = new GrowingSpace(run, target, into);
    const made = await produce(async (piece) => {
      const bytes = sink.takenBytes + BigInt(piece.length);
      assertWithin(bytes, maxBytes, `what ${what} holds in ${target}`);
      await space.upTo(bytes - sink.zeroBytes);
      await sink.take(piece);
      show();
    });
    await sink.flush();
    show();
    await into.truncate(sink.takenBytes);
    space.release();
    return made;
  } finally {
    await writer.close();
  }
}
