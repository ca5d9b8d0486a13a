/** The configuration and keyring of a cluster: what the system says of them, as a reason. */
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { clusterAccess } from '../../../src/adapters/rbd/rbd.js';
import type { HostlerError } from '../../../src/domain/model/errors.js';
import { FaultFilesystem } from '../../support/faults/fault-filesystem.js';
import { scratchFolder } from '../../support/scratch.js';

describe('the files of a cluster', () => {
  const scratch = scratchFolder();
  let disk: FaultFilesystem;
  const cluster = (files: { readonly configFile?: string; readonly keyring?: string }) => ({
    name: 'c',
    configFile: `${disk.path}/ceph.conf`,
    keyring: `${disk.path}/keyring`,
    user: 'admin',
    patienceMs: 1000,
    watcherPatienceMs: 1000,
    abandonedMs: 1000,
    ...files,
  });

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    await writeFile(`${disk.behind}/ceph.conf`, '[global]\n');
    await writeFile(`${disk.behind}/keyring`, '[client.admin]\n\tkey = AAAA\n');
    await writeFile(`${disk.behind}/other`, '[client.other]\n\tkey = AAAA\n');
    await mkdir(`${disk.behind}/folder`);
    await symlink('loop', `${disk.behind}/loop`);
  });
  afterEach(() => disk.heal());

  it('are read', async () => {
    assert.deepEqual((await clusterAccess(cluster({}))).key, { secret: Buffer.from('AAAA') });
  });

  for (const [what, name] of [
    ['not there', 'none'],
    ['a folder', 'folder'],
    ['below a file', 'other/keyring'],
    ['a link to itself', 'loop'],
  ])
    for (const file of ['configFile', 'keyring'])
      it(`${file} is ${String(what)}: CLUSTER_UNUSABLE`, async () => {
        await refuses({ [file]: `${disk.path}/${String(name)}` }, 'CLUSTER_UNUSABLE');
      });

  it('the keyring has no key of the user: CLUSTER_UNUSABLE', async () => {
    await refuses({ keyring: `${disk.path}/other` }, 'CLUSTER_UNUSABLE');
  });

  for (const [errno, reason] of [
    ['EACCES', 'ACCESS_DENIED'],
    ['EPERM', 'ACCESS_DENIED'],
    ['EIO', 'IO_ERROR'],
    ['EMFILE', 'HOST_EXHAUSTED'],
    ['ESTALE', 'ROOT_UNAVAILABLE'],
  ] as const)
    for (const match of ['/ceph.conf', '/keyring'])
      it(`${match} cannot be opened (${errno}): ${reason}`, async () => {
        await disk.fail({ kinds: ['open'], errno, times: 0, match });
        await refuses({}, reason);
      });

  for (const match of ['/ceph.conf', '/keyring'])
    it(`${match} does not answer: ROOT_STALLED, and the daemon goes on meanwhile`, async () => {
      await disk.fail({ kinds: ['open'], match, times: 0, hang: true });
      let turns = 0;
      const beat = setInterval(() => (turns += 1), 10);
      try {
        await refuses({ patienceMs: 500 }, 'ROOT_STALLED');
      } finally {
        clearInterval(beat);
      }
      assert.ok(turns > 5, `${String(turns)} turns`);
    });

  async function refuses(
    files: { readonly configFile?: string; readonly keyring?: string; readonly patienceMs?: number },
    reason: string,
  ): Promise<void> {
    await assert.rejects(clusterAccess(cluster(files)), (error: HostlerError) => {
      assert.deepEqual([error.reason, error.facts['cluster']], [reason, 'c'], error.message);
      assert.ok(!error.message.includes(scratch.path()), error.message);
      return true;
    });
  }
});
