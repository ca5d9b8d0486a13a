/**
 * Empties a folder of any depth and size: with synchronous calls, in a worker thread. Deep folders
 * are first moved up, so that at most two folders are open and no state is needed: after a crash
 * the removal starts again.
 */
import { closeSync, openSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { errnoOf } from '../linux/errno.js';
import { below, entriesOf, FOLDER } from './folder-bytes.js';
import { placed, TreeError } from './tree-error.js';
import { Turn } from './turn.js';

export interface EmptyJob {
  readonly kind: 'empty';
  /** Descriptor of a folder that no other process works in. */
  readonly fd: number;
}

/** Other processes may still be in a folder that was moved here, and create files there. */
const MAX_REFILLS = 1000;

/**
 * Removes everything in the folder, in steps of some milliseconds; yields how many entries were
 * removed. Fails with TreeError.
 */
export function* emptyFolder({ fd }: EmptyJob): Generator<number, number> {
  const removal = new Removal(fd);
  while ((yield* removal.pass()) > 0);
  return removal.items;
}

class Removal {
  items = 0;
  readonly #mark = randomUUID();
  #moved = 0;
  #refills = 0;
  readonly #turn = new Turn();

  constructor(private readonly top: number) {}

  /** Returns how many entries it found. */
  *pass(): Generator<number, number> {
    let found = 0;
    for (const { name, isFolder } of entriesOf(this.top)) {
      found += 1;
      try {
        if (this.#turn.isOver()) yield this.items;
        if (!isFolder && this.#unlink(this.top, name)) continue;
        const fd = openSync(below(this.top, name), FOLDER);
        try {
          yield* this.#clear(fd);
        } finally {
          closeSync(fd);
        }
        this.#rmdir(this.top, name);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw placed(error, [name]);
      }
    }
    return found;
  }

  /** Removes its files and empty folders, and moves the others up. */
  *#clear(folder: number): Generator<number, void> {
    for (const { name, isFolder } of entriesOf(folder)) {
      if (this.#turn.isOver()) yield this.items;
      if (!isFolder && this.#unlink(folder, name)) continue;
      try {
        rmdirSync(below(folder, name));
        this.#count();
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') continue;
        if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw placed(error, [name]);
        this.#moved += 1;
        renameSync(below(folder, name), below(this.top, Buffer.from(`${this.#mark}-${String(this.#moved)}`)));
      }
    }
  }

  /** False if it is a folder. */
  #unlink(folder: number, name: Buffer): boolean {
    try {
      unlinkSync(below(folder, name));
      this.#count();
    } catch (error) {
      if (errnoOf(error) === 'EISDIR') return false;
      if (errnoOf(error) !== 'ENOENT') throw placed(error, [name]);
    }
    return true;
  }

  #rmdir(folder: number, name: Buffer): void {
    try {
      rmdirSync(below(folder, name));
      this.#count();
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error;
      this.#refills += 1;
      if (this.#refills > MAX_REFILLS)
        throw new TreeError({ reason: 'PATH_BUSY', words: 'is filled again and again' }, [name], error);
    }
  }

  #count(): void {
    this.items += 1;
  }
}
