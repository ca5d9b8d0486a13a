import { lstatSync, statSync, type BigIntStats } from 'node:fs';
import type { Unseen } from '../../domain/ports/changes.js';
import { errnoOf } from '../linux/errno.js';
import { at, shown } from './path-bytes.js';

/**
 * What images lie in. Nothing but its content tells of a change of a device: it is read anew each
 * time.
 */
export type PlaceOfImages = 'files' | 'devices';

const BEAT_EVERY = 200;
/** What has gone meanwhile, and what no path leads to any more: no tool can use it either. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO', 'ENOMEDIUM'];

/** Synchronous system calls below one root. */
export class RootCalls {
  #count = 0;

  /** @param beat called now and then while there are calls */
  constructor(
    private readonly root: string,
    readonly holds: PlaceOfImages,
    private readonly beat: () => void,
  ) {}

  /** What the call finds; undefined for what has gone; 'unseen', and noted, when it fails. */
  ask<T>(path: string, unseen: Unseen[], call: () => T): T | 'unseen' | undefined {
    try {
      return call();
    } catch (error) {
      return this.failed(path, unseen, error);
    }
  }

  /** The same for the error of a call that has failed. Throws what is no error of the system. */
  failed(path: string, unseen: Unseen[], error: unknown): 'unseen' | undefined {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    if (GONE.includes(errno)) return undefined;
    unseen.push({ place: shown(path), why: errno, whole: path === this.root });
    return 'unseen';
  }

  /** Of a file, or of the device that a link leads to. */
  stat(path: string): BigIntStats {
    return (this.holds === 'files' ? lstatSync : statSync)(at(path), { bigint: true });
  }

  /** To be called for each path that is looked at. */
  pulse(): void {
    this.#count += 1;
    if (this.#count % BEAT_EVERY === 0) this.beat();
  }
}
