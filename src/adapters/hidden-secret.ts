import { constants } from 'node:fs';
import { access, mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { O_PATH } from './handles.js';

/** O_TMPFILE: a file that never has a name. */
const O_TMPFILE = 0o20200000;

/** A secret that a child inherits as a descriptor. */
export interface HiddenSecret {
  readonly fd: number;
  close(): Promise<void>;
}

/** A secret in a file in memory that never has a name; or, for tools that want a folder, the file of that name in one of its own. */
export async function hideSecret(secret: Uint8Array, within: string | undefined): Promise<HiddenSecret> {
  const memory = await access('/dev/shm', constants.W_OK).then(
    () => '/dev/shm',
    () => tmpdir(),
  );
  return within === undefined ? hideNameless(secret, memory) : hideInFolder(secret, within, memory);
}

async function hideNameless(secret: Uint8Array, memory: string): Promise<FileHandle> {
  const file = await open(memory, O_TMPFILE | constants.O_RDWR, 0o600);
  // Not moving the file's position: the sandbox reads from there.
  await file.write(secret, 0, secret.length, 0);
  return file;
}

async function hideInFolder(secret: Uint8Array, name: string, memory: string): Promise<HiddenSecret> {
  const folder = await mkdtemp(join(memory, 'hostler-secret-'));
  try {
    await writeFile(join(folder, name), secret, { mode: 0o600 });
    const handle = await open(folder, O_PATH);
    return {
      fd: handle.fd,
      async close() {
        await handle.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
