import { isBelow } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import { readMounts, type Mount } from '../linux/mounts.js';
import { POOL_PLACES } from './pool-places.js';

/** Looks at paths outside of the roots. They may lead anywhere, also to a server that is gone. */
export class PathLooks {
  /** @param patienceMs a look may take */
  constructor(
    private readonly patienceMs: number,
    private readonly places = POOL_PLACES,
  ) {}

  /**
   * What the system says of a path, and its error as it is. Fails with ROOT_STALLED when there is
   * no answer in time, and when so many looks at the same filesystem have none that there is no
   * thread for another one.
   */
  async ask<T>(path: string, look: (path: string) => Promise<T>): Promise<T> {
    const filesystem = around(path, await readMounts())?.device ?? '';
    const { patienceMs } = this;
    const first = await this.places.inTime(
      { filesystem, patienceMs },
      () => look(path),
      (done) => {
        // The caller gets ROOT_STALLED; nobody waits for the late error.
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
 * The mount that a path lies on by its words. A link in it may lead elsewhere, which only its
 * filesystem could tell.
 */
function around(path: string, mounts: readonly Mount[]): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts)
    if (isBelow(path, mount.mountPoint) && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  return best;
}
