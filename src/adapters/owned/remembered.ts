import { join } from 'node:path';
import * as z from 'zod';
import { ownFile } from '../../domain/model/own-files.js';
import { ownText } from '../../file-io/own-text.js';
import type { Root } from '../paths/roots.js';
import { writeAtomically } from './state-folder.js';

/**
 * File in the state folder: for each root, by its real path, its mount point in the last run of the
 * daemon.
 */
const FILE = 'root-mounts';
const WHAT = 'the mount points of roots (in state_dir)';

const mounts = z.record(z.string(), z.string());

/**
 * The mount points of roots in the previous run of the daemon. If the filesystem of a root is not
 * mounted now, its images are hidden, and their backing files are unknown. An operator who removes
 * the file accepts that.
 */
export class RememberedMounts {
  private constructor(
    private readonly path: string,
    private readonly before: Readonly<Record<string, string>>,
  ) {}

  /** Fails with OwnFileError. Content that no daemon wrote is ignored. */
  static async load(stateFolder: string): Promise<RememberedMounts> {
    const path = join(stateFolder, FILE);
    const text = await ownFile(WHAT, path, () => ownText(path));
    return new RememberedMounts(path, parse(text));
  }

  /**
   * Why the files of a root cannot be seen; undefined: its filesystem is mounted as before, or
   * nearer to the root.
   */
  absent({ realPath, mountPoint }: Pick<Root, 'realPath' | 'mountPoint'>): string | undefined {
    const before = this.before[realPath];
    // Both lie above the same path, so the shorter one is the outer one.
    if (before === undefined || before.length <= mountPoint.length) return undefined;
    return `nothing is mounted at ${before}, where its filesystem was; when that is to be so, stop the daemon and remove ${this.path}`;
  }

  /**
   * Durable when resolved. For filesystems that are not mounted now, the old mount point is kept.
   * Fails with OwnFileError.
   */
  async save(roots: readonly Root[]): Promise<void> {
    const now = Object.fromEntries(
      roots.map((root) => [
        root.realPath,
        this.absent(root) === undefined ? root.mountPoint : (this.before[root.realPath] ?? ''),
      ]),
    );
    if (JSON.stringify(now) === JSON.stringify(this.before)) return;
    await ownFile(WHAT, this.path, () => writeAtomically(this.path, JSON.stringify(now)));
  }
}

function parse(text: string | undefined): Readonly<Record<string, string>> {
  try {
    return mounts.parse(JSON.parse(text ?? '{}'));
  } catch {
    // A torn write of a daemon that has ended: nothing is remembered.
    return {};
  }
}
