import type { Config } from '../../adapters/config/config.js';
import { sandboxMark } from '../../adapters/linux/orphans.js';
import { MemoryFolders } from '../../adapters/process/memory-folders.js';
import { ProcessRunner } from '../../adapters/process/process.js';
import { Sandbox } from '../../adapters/process/sandbox.js';

/**
 * Starts tools to examine the host without a daemon: without a log, and in the sandbox only if
 * `sandboxed` is set.
 */
export function quietRunner({ state_dir: state, limits }: Config, sandboxed = false): ProcessRunner {
  const searchPath = process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin';
  const mark = sandboxMark(state);
  return new ProcessRunner({
    killGraceMs: limits.tool_kill_grace_ms,
    searchPath,
    folders: new MemoryFolders(mark),
    log: { child: () => undefined, abandoned: () => undefined },
    ...(sandboxed ? { sandbox: new Sandbox(process.getuid?.() === 0, searchPath, mark) } : {}),
  });
}
