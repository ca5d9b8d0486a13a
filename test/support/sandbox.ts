/** Whether the sandbox works on this machine, found out once. */
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import { Sandbox } from '../../src/adapters/process/sandbox.js';
import { isRoot, needs } from './needs.js';
import { trySandbox } from '../../src/adapters/process/try-sandbox.js';

const SEARCH = process.env['PATH'] ?? '';
let problem: Promise<string | undefined> | undefined;

/**
 * Skips what works with images of strangers, as everything is that was fetched: without a sandbox
 * the daemon refuses them. In describe() `before(needsSandbox)`, in a test `await
 * needsSandbox.call(this)`.
 */
export async function needsSandbox(this: Mocha.Context): Promise<void> {
  problem ??= trySandbox(
    new ProcessRunner({
      killGraceMs: 200,
      searchPath: SEARCH,
      folders: new MemoryFolders('hostler-test'),
      log: { child: () => undefined, abandoned: () => undefined },
      sandbox: new Sandbox(isRoot, SEARCH, 'hostler-test'),
    }),
  );
  const why = await problem;
  needs(this, why === undefined, `no sandbox here: ${why ?? ''}`);
}
