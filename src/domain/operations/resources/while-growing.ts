import { asHostlerError } from '../../model/errors.js';
import { sleepOrAborted } from '../../model/async.js';
import type { ImageAddress } from '../../model/address.js';
import type { Run, Taker } from '../verb.js';
import { GrowingSpace } from './growing-space.js';

/** Between two checks a tool writes less than is reserved ahead of it, at 1.3 GB a second. */
const LOOK_MS = 50;
const AHEAD_BYTES = 64n << 20n;

export interface Growth extends Taker {
  /** Expected size, if the source has reported the truth. */
  readonly shareBytes: bigint;
  /** Maximum size. */
  readonly mostBytes: bigint;
}

/**
 * Space for a file that a tool writes by itself, from a source that may send more than it
 * announced: the announced size is reserved, and beyond that a step ahead of what is allocated, so
 * that the last bytes of the filesystem stay free. The signal that `work` gets is aborted with
 * NO_SPACE; before anything is written this itself fails with NO_SPACE.
 */
export async function whileGrowing<T>(
  run: Pick<Run, 'reserve' | 'signal'>,
  target: ImageAddress,
  growth: Growth,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ahead = (bytes: bigint) => {
    const wanted = bytes + AHEAD_BYTES;
    return wanted < growth.mostBytes ? wanted : growth.mostBytes;
  };
  const space = new GrowingSpace(run, target, growth);
  await space.announced(ahead(growth.shareBytes));
  const [over, full] = [new AbortController(), new AbortController()];
  const watching = (async () => {
    for (;;) {
      await sleepOrAborted(LOOK_MS, over.signal);
      await space.upTo(ahead(await growth.takenBytes()));
    }
  })().catch((error: unknown) => {
    if (!over.signal.aborted) full.abort(asHostlerError(error));
  });
  try {
    return await work(AbortSignal.any([run.signal, full.signal]));
  } finally {
    over.abort();
    await watching;
    space.release();
  }
}
