import { realpath, type FileHandle } from 'node:fs/promises';
import { isBelow } from '../../domain/model/address.js';
import { ownFileError } from '../../domain/model/own-files.js';
import { LocalMounts } from '../linux/local-mounts.js';
import { whileWaiting } from '../gates/while-waiting.js';
import { RootGate } from '../gates/root-gate.js';
import { RootPlace } from '../gates/root-place.js';
import type { FileAttributes, FileIdentity } from '../../domain/ports/handles.js';

export interface RootConfig {
  readonly path: string;
  readonly access: 'read-write' | 'read-only';
  /** False: every image in it is untrusted. */
  readonly trusted: boolean;
  readonly attributes: FileAttributes;
  /**
   * A root of the daemon, such as its cache: it can be reached even if it lies in a closed folder.
   */
  readonly kept?: true;
}

/** A configured root, held open for the life of the daemon. */
export interface Root extends RootConfig {
  readonly realPath: string;
  /**
   * Changes when another filesystem is mounted there: read it at the beginning of a walk, inside
   * the gate.
   */
  readonly handle: FileHandle;
  /** Identity of that folder. */
  readonly identity: FileIdentity;
  /** Mount point of the filesystem of the root. */
  readonly mountPoint: string;
  readonly gate: RootGate;
}

/** Events of roots that are logged. */
export interface RootEvents {
  /** A root now leads to another mount. */
  followed(path: string, mountPoint: string): void;
  /** A root that is being opened does not answer; called repeatedly until it does. */
  waits(path: string): void;
}

const NOBODY: RootEvents = { followed: () => undefined, waits: () => undefined };

/**
 * Opens the roots at their real paths, one after the other. Fails with OwnFileError if one is not a
 * folder.
 */
export async function openRoots(configs: readonly RootConfig[], patienceMs: number, events = NOBODY): Promise<Root[]> {
  const roots: Root[] = [];
  const localMounts = new LocalMounts();
  for (const config of configs) {
    try {
      const waits = () => {
        events.waits(config.path);
      };
      const { realPath, place } = await whileWaiting(patienceMs, waits, () =>
        openPlace(config.path, localMounts, events),
      );
      roots.push({
        ...config,
        realPath,
        get handle() {
          return place.handle;
        },
        get identity() {
          return place.identity;
        },
        get mountPoint() {
          return place.mountPoint;
        },
        gate: new RootGate(config.path, patienceMs, place),
      });
    } catch (error) {
      throw ownFileError(`the root ${config.path}`, config.path, error);
    }
  }
  return roots;
}

async function openPlace(path: string, localMounts: LocalMounts, events: RootEvents) {
  const realPath = await realpath(path);
  const onFollowed: RootEvents['followed'] = (root, mountPoint) => {
    events.followed(root, mountPoint);
  };
  return { realPath, place: await RootPlace.open(realPath, localMounts, onFollowed) };
}

/** The innermost root that contains a path, with the path's components below it. */
export function findRoot(
  roots: readonly Root[],
  path: string,
): { readonly root: Root; readonly components: readonly string[] } | undefined {
  let best: { readonly root: Root; readonly prefix: string } | undefined;
  for (const root of roots)
    for (const prefix of [root.path, root.realPath])
      if (prefix.length > (best?.prefix.length ?? -1) && isBelow(path, prefix)) best = { root, prefix };
  if (best === undefined) return undefined;
  const rest = path.slice(best.prefix === '/' ? 1 : best.prefix.length + 1);
  return { root: best.root, components: rest === '' ? [] : rest.split('/') };
}
