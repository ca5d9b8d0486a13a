/**
 * Scans of all images in the roots, in worker threads: for dependants, and for their possible
 * growth.
 */
import { join } from 'node:path';
import { BadFileLog, MOST_BAD_FILES, type BadFile } from '../adapters/index/bad-files.js';
import { Inventories } from '../adapters/inventory/inventories.js';
import { ImageIndex } from '../adapters/index/image-index.js';
import { errorText } from '../adapters/telemetry/log.js';
import { OvercommitWatch } from '../adapters/index/overcommit-watch.js';
import type { Resources } from './resources.js';

/** Creates the index of images and the watch of sparse images. They scan once they are started. */
export function assembleLooks(resources: Resources): {
  readonly index: ImageIndex;
  readonly overcommit: OvercommitWatch;
} {
  const { log, rawDisks } = resources;
  const badFiles = new BadFileLog((file) => rawDisks.knows(file), {
    bad: (path, why) => log.warn('a file cannot be read as the image that it begins as', { path, why }),
    full: () => log.warn('no more files that cannot be read as images are named', { named: MOST_BAD_FILES }),
  });
  const onBad = (bad: BadFile) => {
    badFiles.hear(bad);
  };
  return { index: imageIndex(resources, onBad), overcommit: overcommitWatch(resources, onBad) };
}

/** The inventories of the roots. They scan when a request arrives. */
export function assembleInventory(resources: Resources): Inventories {
  const { config, state, roots, closedFolders, instancesFolder, log } = resources;
  return new Inventories({
    roots,
    instances: instancesFolder,
    folder: join(state.realPath, 'inventory'),
    closed: closedFolders,
    patienceMs: config.limits.root_patience_ms,
    failed: (root, cause) => log.error('the inventory of a root failed', { root, cause }),
  });
}

function imageIndex(
  { config, state, roots, devices, rootMounts, rawDisks, log }: Resources,
  onBad: (bad: BadFile) => void,
): ImageIndex {
  return new ImageIndex({
    isRaw: (file) => rawDisks.knows(file),
    // Images in other roots are opened without the files that they name.
    roots: [...roots, ...devices.roots]
      .filter(({ trusted }) => trusted)
      .map((root) => ({
        path: root.realPath,
        holds: devices.roots.includes(root) ? 'devices' : 'files',
        get identity() {
          return root.identity;
        },
        absent: () => rootMounts.absent(root),
        follow: () => root.gate.follow(),
      })),
    closed: [state.realPath],
    onBad,
    patienceMs: config.limits.root_patience_ms,
    log: {
      stalled: (root) =>
        log.warn('the images of a root cannot be looked at for dependants: it does not answer', { root }),
      failed: (root, cause) => log.error('the images of a root cannot be looked at', { root, cause }),
      unseen: (root, { place, why }) =>
        log.warn('a place cannot be looked at for dependants: nothing is evicted meanwhile', { root, place, why }),
    },
  });
}

function overcommitWatch({ state, roots, log }: Resources, onBad: (bad: BadFile) => void): OvercommitWatch {
  const job = { roots: roots.map(({ realPath }) => realPath), closed: [state.realPath] };
  return new OvercommitWatch(
    job,
    (error) => log.error('the growth of sparse images cannot be looked up', { cause: errorText(error) }),
    onBad,
  );
}
