import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from './errno.js';
import { tryLock } from './owned/flock.js';
import type { ProcessRunner } from './process.js';

/** The daemon's own folder, held by this process alone. */
export interface StateFolder {
  readonly realPath: string;
  /** Stable name of this agent: it marks private folders as ours. */
  readonly agentId: string;
  /** It had no agent id: whatever else there is of this agent's is not known here. */
  readonly isNew: boolean;
  release(): Promise<void>;
}

/** Another daemon holds the folder. */
export class StateFolderBusy extends Error {
  override readonly name = 'StateFolderBusy';
}

/** The folder is not as a daemon leaves it. */
export class StateFolderBroken extends Error {
  override readonly name = 'StateFolderBroken';
}

const AGENT_ID = /^[0-9a-f]{12}$/;

/** Opens, or makes, the folder and takes its lock. The lock is on an open file, so it goes with this process however that ends. */
export async function openStateFolder(path: string, runner: ProcessRunner): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const realPath = await realpath(path);
  const lock = await open(join(realPath, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  if (!(await tryLock(lock, runner)))
    throw new StateFolderBusy(`another daemon works with the state folder ${realPath}`);
  return { realPath, ...(await readAgentId(join(realPath, 'agent-id'))), release: () => lock.close() };
}

async function readAgentId(path: string): Promise<Pick<StateFolder, 'agentId' | 'isNew'>> {
  try {
    const id = (await readFile(path, 'utf8')).trim();
    if (!AGENT_ID.test(id)) throw new StateFolderBroken(`${path} holds no agent id; remove it to get a new one`);
    return { agentId: id, isNew: false };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    const id = randomBytes(6).toString('hex');
    await writeFile(`${path}.new`, `${id}\n`, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
    return { agentId: id, isNew: true };
  }
}
