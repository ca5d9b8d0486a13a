import { isBelow } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import { readMounts, type Mount } from '../linux/mounts.js';
import { POOL_PLACES } from './pool-places.js';

/**
 * System calls on paths outside of the roots, which may lead to any filesystem, also to a server
 * that is gone.
 */
export class PathLooks {
  /** @param patienceMs the time limit of one call */
  constructor(
    private readonly patienceMs: number,
    private readonly places = POOL_PLACES,
  ) {}

  /**
   * The result of a call on a path; a system error is passed through unchanged. Fails with
   * ROOT_STALLED if there is no answer in time, or if too many calls into the same filesystem are
   * pending.
   */
  async ask<T>(path: string, look: (path: string) => Promise<T>): Promise<T> {
    const filesystem = around(path, await readMounts())?.device ?? '';
    const { patienceMs } = this;
    const first = await this.places.inTime(
      { filesystem, patienceMs },
      () => look(path),
      (done) => {
        // The caller gets ROOT_STALLED; the late error is not needed.
        done.catch(() => undefined);
      },
    );
    if (first !== 'late') return first.value;
    throw new HostlerError('ROOT_STALLED', `the filesystem of ${path} does not answer`, {
      facts: { path, waited_ms: String(patienceMs) },
      retryAfterMs: patienceMs,
    });
  }
}

/**
 * The mount of a path, judged by its text alone. A link in the path may lead elsewhere, which only
 * a call into the filesystem could show.
 */
function around(path: string, mounts: readonly Mount[]): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts)
    if (isBelow(path, mount.mountPoint) && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  return best;
}
