import type { ImageAddress } from '../model/address.js';
import { GrowingSpace } from '../operations/resources/growing-space.js';
import { HostlerError } from '../model/errors.js';
import type { Run } from '../operations/verb.js';
import type { ByteSource, Files } from '../ports/images.js';
import type { Transfers } from '../ports/transfers.js';
import { compressionOf } from './compression.js';
import type { Expander } from '../ports/sources.js';
import { SparseSink } from './sparse-sink.js';
import { assertWithin } from './wrong-bodies.js';
import type { StagingFile, StagedImage } from '../ports/targets.js';

/**
 * Data after an image, such as a signature, has some KiB; if it is more, or half of the file, it
 * may be the damaged rest of the image.
 */
const MOST_FOLLOWING = 64n * 1024n;
const READ_BYTES = 1024 * 1024;

export interface ExpandPorts {
  readonly files: Files;
  readonly transfers: Transfers;
  readonly expander: Expander;
}

/**
 * The file that holds the image: this one, or its decompressed content, with holes for zeros. Fails
 * with IMAGE_TOO_LARGE, IMAGE_MALFORMED, NO_SPACE.
 */
export async function expand(
  file: StagingFile,
  part: StagedImage,
  target: ImageAddress,
  maxBytes: bigint,
  run: Run,
  { files, transfers, expander }: ExpandPorts,
): Promise<StagingFile> {
  const came = { ...file, address: target };
  const compression = await files.withBytes(came, compressionOf);
  if (compression === undefined) return file;
  run.phase('EXPANDING');
  await run.step('expand');
  const end = await fill(part.expanded, target, compression, maxBytes, run, transfers, (take) =>
    expander.expand(compression, came, take, run.tool()),
  );
  if (end === 'followed') {
    const early = await files.withBytes(came, async (bytes) => {
      const pieces = withoutTail(bytes);
      try {
        return await expander.endsWithin(compression, pieces, run.tool());
      } finally {
        // A tool that ends early may leave a pending read of the file, which is closed next.
        await pieces.return();
      }
    });
    if (early) throw muchFollows(target, compression);
    run.warn({ reason: 'TRAILING_DATA', message: `what follows the end of the ${compression} data was left out` });
  }
  // The received file is kept until the end: after a crash it is decompressed again, and not
  // downloaded again.
  return part.expanded;
}

/** All bytes except those that may follow the end of the image. */
async function* withoutTail(bytes: ByteSource): AsyncGenerator<Uint8Array, void> {
  const half = bytes.lengthBytes / 2n;
  for (let at = 0n, end = bytes.lengthBytes - (half < MOST_FOLLOWING ? half : MOST_FOLLOWING); at < end;) {
    const piece = await bytes.read(at, end - at < BigInt(READ_BYTES) ? Number(end - at) : READ_BYTES);
    if (piece.length === 0) return;
    yield piece;
    at += BigInt(piece.length);
  }
}

function muchFollows(target: ImageAddress, compression: string): HostlerError {
  const text = `${target}: much follows the end of the ${compression} data, as where the rest of it is damaged`;
  return new HostlerError('IMAGE_MALFORMED', text, { facts: { path: target, compression } });
}

/**
 * Replaces a file with the output of `produce`, with holes for zeros. Fails with IMAGE_TOO_LARGE,
 * NO_SPACE.
 */
export async function fill<T>(
  into: StagingFile,
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
    const show = () => run.progress({ doneBytes: sink.writtenBytes - sink.zeroBytes, skippedBytes: sink.zeroBytes });
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
