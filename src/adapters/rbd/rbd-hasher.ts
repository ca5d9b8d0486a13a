import { StreamedBlocks } from '../../domain/model/block-digest.js';
import type { BlockHasher } from '../../domain/verbs/digest-image.js';
import { inTurns } from '../../domain/model/async.js';
import { DiffStream } from './diff-stream.js';
import { rbdImage } from '../qemu/rbd-pool.js';
import { imageWords } from './rbd-args.js';
import { addressOf } from './rbd-images.js';
import type { Rbd } from './rbd.js';
import type { Resolved } from '../../domain/ports/handles.js';
import { plainRun } from '../../domain/ports/tools.js';

/**
 * Hashes an image of a cluster while its data is streamed: nothing is stored here, and holes are
 * not transferred.
 */
export class RbdHasher implements BlockHasher {
  constructor(private readonly rbd: Rbd) {}

  async digest(
    file: Resolved,
    _extents: unknown,
    { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes?: (bytes: bigint) => void },
  ): Promise<string> {
    const image = rbdImage(file);
    const blocks = new StreamedBlocks();
    const stream = new DiffStream(blocks);
    let read = 0n;
    const words = ['export-diff', '--no-progress', ...imageWords(image), '--path=-'];
    const run = plainRun(signal);
    await this.rbd.read(image.pool.cluster, addressOf(image), words, run, async (piece) => {
      await inTurns(stream.push(piece), signal);
      read += BigInt(piece.length);
      onBytes?.(read);
    });
    await inTurns(stream.end(file.lengthBytes), signal);
    return blocks.digest();
  }
}
