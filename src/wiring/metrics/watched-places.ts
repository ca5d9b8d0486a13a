/** What is looked at for the metrics of space. */
import type { Config } from '../../adapters/config/config.js';
import { asAddress } from '../../domain/model/address.js';
import { filesystemInfo, type FilesystemPorts } from '../../domain/host/filesystem-info.js';
import { SpaceWatch } from '../../domain/host/space-watch.js';
import type { HostPorts } from '../../handlers/host-info.js';

/** However many scrape, the roots are not looked at more often. */
const ROOTS_FRESH_MS = 2000;
/** Asking a cluster costs a child process for each pool. */
const POOLS_FRESH_MS = 60_000;

interface PlacePorts extends FilesystemPorts {
  readonly pools: Pick<HostPorts['pools'], 'space'>;
  /** As reservations name a pool. */
  readonly poolKey: (name: string) => string;
}

/** Makes the watches over roots and pools, which look when they are asked. */
export function watchedPlaces(
  { roots, pools }: Pick<Config, 'roots' | 'pools'>,
  ports: PlacePorts,
): { readonly roots: SpaceWatch; readonly pools: SpaceWatch } {
  // Each place answers in bounded time, or is given up by its gate.
  const { signal } = new AbortController();
  const ofFiles = roots.filter(({ kind }) => kind === 'files');
  const rootPlaces = ofFiles.map(({ path }) => ({
    name: path,
    measure: async () => {
      const { totalBytes: sizeBytes, ...info } = await filesystemInfo(asAddress(path), ports, signal);
      return { ...info, sizeBytes };
    },
  }));
  const poolPlaces = pools.map(({ name }) => ({
    name,
    measure: async () => {
      const { usedBytes, freeBytes } = await ports.pools.space(name);
      const place = { filesystem: ports.poolKey(name), path: name };
      const reservedBytes = await ports.space.reservedBytes(place, signal);
      return { freeBytes, sizeBytes: usedBytes + freeBytes, reservedBytes };
    },
  }));
  return {
    roots: new SpaceWatch(rootPlaces, ROOTS_FRESH_MS, () => performance.now()),
    pools: new SpaceWatch(poolPlaces, POOLS_FRESH_MS, () => performance.now()),
  };
}
