import { join } from 'node:path';
import * as z from 'zod';
import { ownFile } from '../../domain/model/own-files.js';
import { ownText } from '../../file-io/own-text.js';
import type { Root } from '../paths/roots.js';
import { writeAtomically } from './state-folder.js';

/**
 * In the state folder: of each root, by its real path, the mount point that it lay below when the
 * daemon ran last.
 */
const FILE = 'root-mounts';
const WHAT = 'the mount points of roots (in state_dir)';

const mounts = z.record(z.string(), z.string());

/**
 * Where roots were mounted in the daemon's life before. A root whose filesystem is not mounted now
 * holds images that nobody can see: what they are backed by is not known. Removing the file says
 * that it is to be so.
 */
export class RememberedMounts {
  private constructor(
    private readonly path: string,
    private readonly before: Readonly<Record<string, string>>,
  ) {}

  /** Fails with OwnFileError. What the file holds that no daemon wrote counts as nothing. */
  static async load(stateFolder: string): Promise<RememberedMounts> {
    const path = join(stateFolder, FILE);
    const text = await ownFile(WHAT, path, () => ownText(path));
    return new RememberedMounts(path, parse(text));
  }

  /**
   * Why what lay in a root cannot be seen; undefined: its filesystem is mounted as it was, or
   * nearer to the root.
   */
  absent({ realPath, mountPoint }: Pick<Root, 'realPath' | 'mountPoint'>): string | undefined {
    const before = this.before[realPath];
    // Both lie above the same path, so the shorter one is the outer one.
    if (before === undefined || before.length <= mountPoint.length) return undefined;
    return `nothing is mounted at ${before}, where its filesystem was; when that is to be so, stop the daemon and remove ${this.path}`;
  }

  /** Durable when resolved. Of what is away now the place is kept. Fails with OwnFileError. */
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
