/** Another process takes the name away after a call has found it, and before the call works on it. */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

describe('names that go away while a call looks at them', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, {
    toml: '[debug]\nfailpoints = ["MoveFile:inspect:pause", "RemoveDirectory:inspect:pause"]\n',
  });
  const at = (name: string) => daemon.get().image(name);

  const cases: readonly (readonly [string, 'file' | 'folder', string, () => Message])[] = [
    ['moved file', 'file', 'MoveFile', () => ({ source: at('moved file'), target: at('elsewhere') })],
    ['moved folder', 'folder', 'MoveFile', () => ({ source: at('moved folder'), target: at('elsewhere') })],
    ['removed folder', 'folder', 'RemoveDirectory', () => ({ path: at('removed folder'), recursive: true })],
  ];
  for (const [name, kind, rpc, request] of cases)
    it(`a ${name} that is gone is a missing file`, async () => {
      if (kind === 'folder') await mkdir(join(at(name), 'below'), { recursive: true });
      else await writeFile(at(name), 'x');
      const from = daemon.get().log.length;
      const call = failure(daemon.get().stranger.operation(`FileService/${rpc}`, request()));
      await daemon.get().logged(new RegExp(`"method":"${rpc}".*"step":"inspect"`), from);
      await rm(at(name), { recursive: true });
      daemon.get().process.kill('SIGUSR2');
      assert.equal((await call).reason, 'FILE_NOT_FOUND');
      assert.deepEqual(await daemon.get().leftovers(), []);
    });
});
