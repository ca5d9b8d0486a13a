import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoOf } from './errno.js';
import { tryLock } from './owned/flock.js';
import type { HostIdentity } from './owned/host-identity.js';
import type { ProcessRunner } from './process.js';

/** The daemon's own folder, held by this process alone. */
export interface StateFolder {
  readonly realPath: string;
  /** Stable name of this agent: it marks private folders as ours. */
  readonly agentId: string;
  /** It had no agent id: whatever else there is of this agent's is not known here. */
  readonly isNew: boolean;
  /** Set: the id is new because the folder is a copy. What the journal knows belongs to the daemon of the former id. */
  readonly former?: { readonly agentId: string; readonly why: string };
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

/** Beside the agent id: where it was at work last. */
const place = z.object({ machine: z.string(), folder: z.string() });

/** Opens, or makes, the folder and takes its lock. The lock is on an open file, so it goes with this process however that ends. */
export async function openStateFolder(
  path: string,
  runner: ProcessRunner,
  identity: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const realPath = await realpath(path);
  const lock = await open(join(realPath, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  if (!(await tryLock(lock, runner)))
    throw new StateFolderBusy(`another daemon works with the state folder ${realPath}`);
  const known = await readAgentId(realPath);
  const here = { machine: identity.machine, folder: realPath };
  const release = () => lock.close();
  const state =
    known === undefined
      ? { realPath, agentId: await newAgentId(realPath), isNew: true, release }
      : { realPath, agentId: known, isNew: false, release };
  const why = known === undefined ? undefined : await whyCopied(known, here);
  if (why !== undefined) return renewed(state, why, here);
  await writeAtomically(join(realPath, 'place'), JSON.stringify(here));
  return state;
}

/** The same folder with a new agent id: the daemon whose the old one is may live. Durable when resolved. */
export async function renewed(state: StateFolder, why: string, here?: Place): Promise<StateFolder> {
  const agentId = await newAgentId(state.realPath);
  if (here !== undefined) await writeAtomically(join(state.realPath, 'place'), JSON.stringify(here));
  return { ...state, agentId, former: { agentId: state.agentId, why } };
}

type Place = z.infer<typeof place>;

/** Why the folder is a copy of another one, in which the daemon of this id may work; undefined: it is not known to be one. */
async function whyCopied(agentId: string, here: Place): Promise<string | undefined> {
  const before = await readPlace(join(here.folder, 'place'));
  if (before === undefined) return undefined;
  if (before.machine !== '' && here.machine !== '' && before.machine !== here.machine)
    return 'the state folder was made on another machine';
  if (before.folder === here.folder || (await isSame(before.folder, here.folder))) return undefined;
  const there = await readAgentId(before.folder).catch((error: unknown) => {
    if (error instanceof StateFolderBroken || errnoOf(error) !== undefined) return undefined;
    throw error;
  });
  return there === agentId ? `the state folder is a copy of ${before.folder}` : undefined;
}

async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(notThere)));
  return a !== undefined && a.dev === b?.dev && a.ino === b.ino;
}

async function readPlace(path: string): Promise<Place | undefined> {
  const text = await readFile(path, 'utf8').catch(notThere);
  try {
    return text === undefined ? undefined : place.safeParse(JSON.parse(text)).data;
  } catch {
    // Whoever wrote that was no daemon: nothing is known of where it was.
    return undefined;
  }
}

async function readAgentId(folder: string): Promise<string | undefined> {
  const path = join(folder, 'agent-id');
  const id = (await readFile(path, 'utf8').catch(notThere))?.trim();
  if (id !== undefined && !AGENT_ID.test(id))
    throw new StateFolderBroken(`${path} holds no agent id; remove it to get a new one`);
  return id;
}

async function newAgentId(folder: string): Promise<string> {
  const id = randomBytes(6).toString('hex');
  await writeAtomically(join(folder, 'agent-id'), id);
  return id;
}

async function writeAtomically(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}

function notThere(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
}
