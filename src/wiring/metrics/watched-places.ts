/** The places that are measured for the metrics of space. */
import type { Config } from '../../adapters/config/config.js';
import { asAddress } from '../../domain/model/address.js';
import { filesystemInfo, type FilesystemPorts } from '../../domain/host/filesystem-info.js';
import { SpaceWatch } from '../../domain/host/space-watch.js';
import type { HostPorts } from '../../handlers/host-info.js';

/** The roots are not measured more often, however many scrapers there are. */
const ROOTS_FRESH_MS = 2000;
/** A query to a cluster costs a child process for each pool. */
const POOLS_FRESH_MS = 60_000;

interface PlacePorts extends FilesystemPorts {
  readonly pools: Pick<HostPorts['pools'], 'space'>;
  /** The key of a pool in reservations. */
  readonly poolKey: (name: string) => string;
}

/** Creates the watches of roots and pools, which measure on request. */
export function watchedPlaces(
  { roots, pools }: Pick<Config, 'roots' | 'pools'>,
  ports: PlacePorts,
): { readonly roots: SpaceWatch; readonly pools: SpaceWatch } {
  // Each place answers in bounded time, or its gate gives up.
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
