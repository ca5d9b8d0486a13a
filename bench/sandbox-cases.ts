/** What the sandbox adds to a tool: the same call by the same door, with it and without. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { MemoryFolders } from '../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../src/adapters/process/process.js';
import { Sandbox } from '../src/adapters/process/sandbox.js';
import type { Daemon } from '../test/support/daemon.js';
import { isRoot } from '../test/support/needs.js';
import { sh } from '../test/support/shell.js';
import type { Case, Contender } from './harness.js';

const CALLS = 20;
const SEARCH = '/usr/sbin:/usr/bin:/sbin:/bin';

export function sandboxCases(daemon: Daemon): Case[] {
  const image = daemon.image('sandboxed.qcow2');
  const options = {
    killGraceMs: 200,
    searchPath: SEARCH,
    folders: new MemoryFolders('hostler-bench'),
    log: { child: () => undefined, abandoned: () => undefined },
  };
  const contender = (name: string, runner: ProcessRunner): Contender => ({
    name,
    prepare: async () => {
      await sh('test', '-e', image).catch(() => sh('qemu-img', 'create', '-q', '-f', 'qcow2', image, '1G'));
    },
    run: async () => {
      const file = await open(image, constants.O_RDONLY);
      const read = { handle: { fd: file.fd, close: () => file.close() } };
      try {
        for (let n = 0; n < CALLS; n++) {
          const call = { tool: 'qemu-img', args: ['info', [{ read }]], limits: {} };
          const { code, stderr } = await runner.run(call, {
            signal: new AbortController().signal,
            onChild: () => undefined,
          });
          if (code !== 0) throw new Error(stderr);
        }
      } finally {
        await file.close();
      }
    },
  });
  return [
    {
      name: `sandbox: qemu-img info, ${String(CALLS)} calls one after another`,
      bar: `<= ${String(8 * CALLS)} ms more than without`,
      contenders: [
        contender(
          'in the sandbox',
          new ProcessRunner({ ...options, sandbox: new Sandbox(isRoot, SEARCH, 'hostler-bench') }),
        ),
        contender('without', new ProcessRunner(options)),
      ],
    },
  ];
}
