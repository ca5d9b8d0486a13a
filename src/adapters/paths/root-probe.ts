import { constants } from 'node:fs';
import { copyFile, link, mkdir, open, stat } from 'node:fs/promises';
import { ulid } from 'ulid';
import type { RootFeatures } from '../../domain/host/host-info.js';
import { errnoOf } from '../linux/errno.js';
import { openFolder } from '../gates/handles.js';
import { mountOf, readMounts } from '../linux/mounts.js';
import { PRIVATE_PREFIX, removePrivateFolder } from './private-folders.js';
import type { Root } from './roots.js';
import { procPath } from '../linux/proc-path.js';

const PRIVATE_MODE = 0o700;
/** Size of a file with a single byte at its end, which shows whether holes occupy space. */
const SPARSE_BYTES = 4 * 1024 * 1024;
/** What a filesystem answers that does not support the call. */
const CANNOT = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EPERM', 'EXDEV', 'ENOTTY', 'EMLINK'];

/**
 * Tries in a private folder what a root's filesystem supports; the folder is removed afterwards.
 */
export async function probeRoot(root: Root, agentId: string): Promise<RootFeatures> {
  const filesystemType = (await mountOf(root.handle, await readMounts()))?.type ?? '';
  if (root.access === 'read-only')
    return { filesystemType, reflink: false, directIo: false, hardLinks: false, sparse: false };
  const name = `${PRIVATE_PREFIX}${agentId}-${ulid()}`;
  try {
    await mkdir(procPath({ handle: root.handle, name }), PRIVATE_MODE);
    const folder = await openFolder(root.handle, name);
    try {
      return { filesystemType, ...(await tryAll((file) => procPath({ handle: folder, name: file }))) };
    } finally {
      await folder.close();
    }
  } finally {
    await removePrivateFolder(root.handle, name, root.realPath);
  }
}

async function tryAll(path: (name: string) => string) {
  const file = await open(path('file'), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
  try {
    await file.write(Buffer.from('x'), 0, 1, SPARSE_BYTES - 1);
    await file.datasync();
  } finally {
    await file.close();
  }
  const { blocks } = await stat(path('file'));
  const direct = constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT;
  return {
    sparse: blocks * 512 < SPARSE_BYTES,
    hardLinks: await can(() => link(path('file'), path('link'))),
    directIo: await can(async () => (await open(path('direct'), direct)).close()),
    reflink: await can(() => copyFile(path('file'), path('clone'), constants.COPYFILE_FICLONE_FORCE)),
  };
}

async function can(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (CANNOT.includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}
