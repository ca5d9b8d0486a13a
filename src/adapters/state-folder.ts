import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, realpath, rename, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from './errno.js';
import type { ProcessRunner } from './process.js';

/** The daemon's own folder, held by this process alone. */
export interface StateFolder {
  readonly realPath: string;
  /** Stable name of this agent: it marks private folders as ours. */
  readonly agentId: string;
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
/** flock(1) says so when the lock is held by somebody else. */
const EXIT_LOCKED = 1;

/** Opens, or makes, the folder and takes its lock. The lock is on an open file, so it goes with this process however that ends. */
export async function openStateFolder(path: string, runner: ProcessRunner): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const realPath = await realpath(path);
  const lock = await open(join(realPath, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  await takeLock(lock, realPath, runner);
  return { realPath, agentId: await agentId(join(realPath, 'agent-id')), release: () => lock.close() };
}

/** flock(2) locks belong to the open file, which the child shares with us: they stay when it has gone. */
async function takeLock(lock: FileHandle, path: string, runner: ProcessRunner): Promise<void> {
  const run = { signal: AbortSignal.timeout(10_000), onChild: () => undefined };
  const { code, stderr } = await runner.run(
    { tool: 'flock', args: ['--exclusive', '--nonblock', [{ descriptor: lock }]], trusted: true, limits: {} },
    run,
  );
  if (code === EXIT_LOCKED) throw new StateFolderBusy(`another daemon works with the state folder ${path}`);
  if (code !== 0) throw new Error(`flock failed: ${stderr}`);
}

async function agentId(path: string): Promise<string> {
  try {
    const id = (await readFile(path, 'utf8')).trim();
    if (!AGENT_ID.test(id)) throw new StateFolderBroken(`${path} holds no agent id; remove it to get a new one`);
    return id;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    const id = randomBytes(6).toString('hex');
    await writeFile(`${path}.new`, `${id}\n`, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
    return id;
  }
}
