import { lstatSync, statSync, type BigIntStats } from 'node:fs';
import type { Unseen } from '../../domain/ports/changes.js';
import { errnoOf } from '../linux/errno.js';
import { at, shown } from './path-bytes.js';

/**
 * What a root holds. Only the content of a device shows a change, so devices are read again each
 * time.
 */
export type PlaceOfImages = 'files' | 'devices';

const BEAT_EVERY = 200;
/** The file was removed, or no path leads to it any more, so no tool can use it either. */
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

  /**
   * The result of the call; undefined if the file is gone; 'unseen' if the call failed, which is
   * noted in `unseen`.
   */
  ask<T>(path: string, unseen: Unseen[], call: () => T): T | 'unseen' | undefined {
    try {
      return call();
    } catch (error) {
      return this.failed(path, unseen, error);
    }
  }

  /**
   * As `ask`, for the error of a call that has failed. Rethrows errors that are not system errors.
   */
  failed(path: string, unseen: Unseen[], error: unknown): 'unseen' | undefined {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    if (GONE.includes(errno)) return undefined;
    unseen.push({ place: shown(path), why: errno, whole: path === this.root });
    return 'unseen';
  }

  /** Stat of a file, or of the device that a link leads to. */
  stat(path: string): BigIntStats {
    return (this.holds === 'files' ? lstatSync : statSync)(at(path), { bigint: true });
  }

  /** Call it for each path that is examined. */
  pulse(): void {
    this.#count += 1;
    if (this.#count % BEAT_EVERY === 0) this.beat();
  }
}
