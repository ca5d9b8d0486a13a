/**
 * What an unsafe RebaseImage writes into a header stays in the roots, in the caller's places, and
 * out of the daemon's own folders.
 */
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { Stranger, failure } from '../../support/stranger.js';

describe('the base that an unsafe RebaseImage names', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    stateFolder: scratch.path('daemon/images/state'),
    toml: [
      `[cache]\npath = "${scratch.path('daemon/images/cache')}"`,
      `[[listeners]]\naddress = "unix://${scratch.path('daemon/a.sock')}"\nrole = "a"`,
      `[roles.a]\nservices = ["ImageService"]\nwrite = ["${scratch.path('daemon/images/a')}"]\n`,
    ].join('\n'),
  }));
  const at = (name: string) => daemon.get().image(name);
  let a: Stranger;
  before(async () => {
    a = new Stranger(`unix://${scratch.path('daemon/a.sock')}`);
    scratch.onEnd(() => {
      a.close();
      return Promise.resolve();
    });
    for (const name of ['a', 'b', 'b/folder']) await mkdir(at(name));
    for (const name of ['cache/entry', 'b/disk.raw']) await writeFile(at(name), Buffer.alloc(4096));
    await symlink(at('b'), at('a/link'));
    await symlink(at('b/disk.raw'), at('a/link-to-disk'));
    await symlink(at('b/not-there'), at('a/link-to-nothing'));
    await symlink(at('b/circle'), at('b/circle'));
    await symlink('/etc', at('b/out'));
    await symlink('later', at('a/link-in-place'));
    await symlink('/etc', at('a/out'));
    await symlink(at('cache'), at('a/to-cache'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('a/overlay.qcow2'), '1M');
  });
  const rebase = (who: Stranger, backing_file: string) =>
    who.operation('ImageService/RebaseImage', {
      path: at('a/overlay.qcow2'),
      format: 'qcow2',
      backing_file,
      backing_format: 'raw',
      header_only: true,
    });
  const base = async () => {
    const path = at('a/overlay.qcow2');
    const { info } = (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path, format: 'qcow2' })) as {
      info: { backing_file?: string };
    };
    return info.backing_file;
  };

  const refused: Record<string, () => string> = {
    'a file of the host': () => '/etc/passwd',
    'a file of the host that is not there': () => '/etc/not-there',
    'a file of the host by a link in a root': () => at('a/out/passwd'),
    'the state folder': () => at('state/agent-id'),
    'something in the state folder that is not there': () => at('state/not-there'),
    'an image of the cache': () => at('cache/entry'),
    'an image of the cache that is not there': () => at('cache/not-there'),
    'the cache by a link in a root': () => at('a/to-cache/entry'),
    'something in the cache by a link that is not there': () => at('a/to-cache/not-there'),
    "an operation's private folder": () => at('a/.hostler-0123456789ab-01AAAAAAAAAAAAAAAAAAAAAAAA/part'),
  };
  for (const [title, named] of Object.entries(refused))
    it(`is not ${title}`, async () => {
      const error = await failure(rebase(daemon.get().stranger, named()));
      assert.equal(error.reason, 'PATH_OUTSIDE_ROOTS');
      assert.equal(await base(), undefined);
    });
  it("lies in the caller's places, also behind a link", async () => {
    for (const name of ['b/disk.raw', 'a/link/disk.raw'])
      assert.equal((await failure(rebase(a, at(name)))).reason, 'PATH_OUTSIDE_ROOTS', name);
  });
  it("behind a link out of the caller's places nothing shows what is there", async () => {
    const there = ['link/disk.raw', 'link-to-disk', 'link/folder', 'link/circle', 'link/out/passwd'];
    const nothing = ['link/not-there', 'link-to-nothing', 'link/folder/not-there', 'link/disk.raw/not-there'];
    const [first, ...others] = await Promise.all(
      [...there, ...nothing].map(async (name) => {
        const { reason, message, metadata } = await failure(rebase(a, at(`a/${name}`)));
        return JSON.stringify({ reason, message, metadata }).replaceAll(at(`a/${name}`), 'PATH');
      }),
    );
    assert.match(String(first), /PATH_OUTSIDE_ROOTS|PERMISSION_DENIED/);
    for (const other of others) assert.equal(other, first);
    await rebase(a, at('a/link-in-place'));
    assert.equal(await base(), at('a/link-in-place'));
  });
  it('is not an image of a cluster', async () => {
    assert.equal((await failure(rebase(daemon.get().stranger, 'rbd:pool/image'))).reason, 'POOL_NOT_FOUND');
  });
  it('may be missing, or lie there', async () => {
    for (const name of ['a/later.raw', 'a/later/folder/disk.raw', 'b/disk.raw']) {
      await rebase(daemon.get().stranger, at(name));
      assert.equal(await base(), at(name));
    }
  });
});
