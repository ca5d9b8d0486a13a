import { asHostlerError } from '../../model/errors.js';
import { sleepOrAborted } from '../../model/async.js';
import type { ImageAddress } from '../../model/address.js';
import type { Run, Taker } from '../verb.js';
import { GrowingSpace } from './growing-space.js';

/** Between two looks a tool writes less than is reserved ahead of it, at 1.3 GB a second. */
const LOOK_MS = 50;
const AHEAD_BYTES = 64n << 20n;

export interface Growth extends Taker {
  /** So much it will take in all, if its source has spoken the truth. */
  readonly shareBytes: bigint;
  /** More than that it cannot take. */
  readonly mostBytes: bigint;
}

/**
 * Space for what a tool writes by itself, out of a source that may have named less than it sends:
 * reserved is what the source has named, and from then on a step ahead of what is taken, so that
 * the last bytes stay free. The signal that `work` is given ends with NO_SPACE; before anything is
 * written this fails with NO_SPACE itself.
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
