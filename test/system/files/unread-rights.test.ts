/** A host for which koffi has no build: access lists are there, and the daemon cannot see them. */
import assert from 'node:assert/strict';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT_FOLDER, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';

const HIDDEN = 'mount -t tmpfs none "$0" && exec "$@"';

describe('rights that the daemon cannot read', () => {
  const scratch = scratchFolder();
  before(function () {
    needs(this, isRoot, 'needs root, to mount');
  });
  const daemon = suiteDaemon(scratch, {
    within: ['unshare', '-m', 'sh', '-c', HIDDEN, join(ROOT_FOLDER, 'node_modules/koffi')],
  });
  const at = (name: string) => daemon.get().image(name);
  const warningsOf = async (address: string) => {
    const { operations } = await daemon.get().stranger.unary('OperationService/ListOperations', {});
    const found = (operations as Message[]).find((one) => (one['addresses'] as string[]).includes(address));
    return ((found?.['warnings'] ?? []) as Message[]).map(({ reason }) => reason);
  };
  const write = (header: Message) =>
    daemon.get().stranger.send('FileService/WriteFile', [{ header }, { data: Buffer.from('new') }]);

  for (const [mode, becomes] of [
    [0o670, 0o600],
    [0o664, 0o604],
    [0o600, 0o600],
  ] as const)
    it(`give the group of a file of mode ${mode.toString(8)} that is replaced nothing, and the answer says so`, async () => {
      const path = at(`replaced-${mode.toString(8)}`);
      await writeFile(path, 'old');
      await chmod(path, mode);
      await write({ path });
      assert.equal((await stat(path)).mode & 0o777, becomes);
      assert.deepEqual(await warningsOf(path), ['RIGHTS_NOT_KEPT']);
    });
  it('are no reason to take from the group what the caller gives it', async () => {
    await writeFile(at('given'), 'old');
    const request = {
      path: at('given'),
      format: 'raw',
      virtual_size_bytes: '4096',
      overwrite: true,
      attributes: { mode: 0o660 },
    };
    await daemon.get().stranger.operation('ImageService/CreateImage', request);
    assert.equal((await stat(at('given'))).mode & 0o777, 0o660);
  });
  it('are not shifted, and the answer says so', async () => {
    await mkdir(at('tree'));
    await writeFile(at('tree/file'), 'x');
    const maps = [{ start: 0, target: 100_000, count: 65_536 }];
    const request = { path: at('tree'), uid_maps: maps, gid_maps: maps };
    await daemon.get().stranger.operation('FileService/ChownForIdMaps', request);
    assert.equal((await stat(at('tree/file'))).uid, 100_000);
    assert.deepEqual(await warningsOf(at('tree')), ['RIGHTS_NOT_KEPT']);
  });
});
