import { stat, statfs } from 'node:fs/promises';
import { systemError } from '../linux/errno.js';
import { toolReason } from '../linux/tool-words.js';
import { asked } from '../gates/handles.js';
import type { ProcessRunner } from '../process/process.js';
import { toolError } from '../process/tool-error.js';
import { procPath } from '../linux/proc-path.js';
import type { FileRef, Handle, Resolved } from '../../domain/ports/handles.js';
import type { Reflink, ToolRun } from '../../domain/ports/tools.js';

/** Magic numbers in statfs(2) of filesystems that never share extents. */
const NEVER: Readonly<Record<string, string>> = {
  '61267': 'ext2/3/4',
  '16914836': 'tmpfs',
  '2240043254': 'ramfs',
  '19780': 'vfat',
  '2035054128': 'fuse',
};
const BTRFS = 0x9123683en;

/**
 * Shares extents through cp in a child process: FICLONE of a fragmented file takes seconds and
 * cannot be interrupted.
 */
export class CpReflink implements Reflink {
  constructor(private readonly runner: ProcessRunner) {}

  describe() {
    return { shown: 'REFLINK', why: 'source and target share a filesystem that can share extents' };
  }

  async objection(source: Resolved, directory: Handle): Promise<string | undefined> {
    const [from, to, folder] = await Promise.all([
      asked(source.handle, () => statfs(procPath(source), { bigint: true })),
      asked(directory, () => statfs(procPath({ handle: directory }), { bigint: true })),
      deviceOf(directory),
    ]).catch((error: unknown) => {
      throw systemError(error, 'the filesystems of source and target cannot be asked what they are');
    });
    const never = NEVER[String(to.type)];
    if (never !== undefined) return `the target's filesystem (${never}) cannot share extents`;
    // Subvolumes of one btrfs have different device numbers, but can still share extents.
    if (source.device !== folder && !(from.type === BTRFS && to.type === BTRFS))
      return 'source and target lie on different filesystems';
    return undefined;
  }

  async clone(source: FileRef, target: FileRef, tool: ToolRun): Promise<true | { readonly refused: string }> {
    const call = {
      tool: 'cp',
      args: ['--reflink=always', [{ read: source }], [{ write: target }]],
      trusted: true,
      limits: {},
    };
    const exit = await this.runner.run(call, tool);
    if (exit.succeeded) return true;
    const refusal =
      /failed to clone.*: (Operation not supported|Invalid cross-device link|Invalid argument|Inappropriate ioctl for device)$/m.exec(
        exit.stderr,
      );
    if (refusal !== null) return { refused: `the filesystem refused to share extents (${refusal[1] ?? ''})` };
    throw toolError('cp', toolReason(exit.stderr) ?? 'TOOL_FAILED', exit);
  }
}

async function deviceOf(handle: Handle): Promise<bigint> {
  return (await asked(handle, () => stat(procPath({ handle }), { bigint: true }))).dev;
}
