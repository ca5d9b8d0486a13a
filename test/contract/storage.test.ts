/** Files, files that can share extents, and block devices pass the suite of all storage. */
import { mkdir } from 'node:fs/promises';
import { deviceStorage, fileStorage } from '../support/contracts/local-storages.js';
import { storageContract } from '../support/contracts/storage-contract.js';
import { installed, isRoot, needs } from '../support/needs.js';
import { scratchFolder, type Scratch } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';

describe('storage: files', () => {
  const scratch = scratchFolder();
  storageContract(scratch, 'file', () => fileStorage(scratch, scratch.path('files')));
});

describe('storage: files that share extents', () => {
  const scratch = scratchFolder();
  storageContract(scratch, 'file', async (context) => {
    await mountXfs(context, scratch);
    return fileStorage(scratch, scratch.path('xfs'), true);
  });
});

describe('storage: block devices', () => {
  const scratch = scratchFolder();
  storageContract(scratch, 'device', (context) => deviceStorage(context, scratch, scratch.path('devices')));
});

async function mountXfs(context: Mocha.Context, scratch: Scratch): Promise<void> {
  needs(context, isRoot, 'needs root to mount');
  needs(context, installed('mkfs.xfs'), 'mkfs.xfs is not installed');
  const [disk, folder] = [scratch.path('xfs.disk'), scratch.path('xfs')];
  await sh('truncate', '-s', '512M', disk);
  await sh('mkfs.xfs', '-q', '-m', 'reflink=1', disk);
  await mkdir(folder);
  const mounted = await tryRun('mount', ['-o', 'loop', disk, folder]);
  needs(context, mounted.code === 0, `xfs cannot be mounted on a loop device here: ${mounted.stderr.trim()}`);
  scratch.onEnd(() => sh('umount', folder));
}
