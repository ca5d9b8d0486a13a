import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath, rename, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { OwnFileError, ownFile } from '../../domain/model/own-files.js';
import { makeFolder } from '../../file-io/make-folder.js';
import { ownText } from '../../file-io/own-text.js';
import { errnoOf } from '../linux/errno.js';
import { tryLock } from './flock.js';
import type { HostIdentity } from './host-identity.js';
import type { ProcessRunner } from '../process/process.js';

/** The daemon's own folder, which only this process holds. */
export interface StateFolder {
  readonly realPath: string;
  /** Stable id of this agent, which marks its private folders. */
  readonly agentId: string;
  /** The folder had no agent id: other files of this agent are not known. */
  readonly isNew: boolean;
  /**
   * Set if the id is new because the folder is a copy. The records of the journal then belong to
   * the daemon with the former id.
   */
  readonly former?: Former;
  /** All ids that the folder had before it was copied. */
  readonly formerIds: readonly string[];
  /** Call it when the journal has been adapted to this daemon. */
  settled(): Promise<void>;
  release(): Promise<void>;
}

/** The id of the folder from which this one was copied, and why it counts as a copy. */
export type Former = Readonly<z.infer<typeof former>>;

/** Another daemon holds the folder. */
export class StateFolderBusy extends Error {
  override readonly name = 'StateFolderBusy';
}

/** The folder is not in a state that a daemon leaves. */
export class StateFolderBroken extends Error {
  override readonly name = 'StateFolderBroken';
}

export const AGENT_ID = /^[0-9a-f]{12}$/;

const former = z.object({ agentId: z.string(), why: z.string() });

/**
 * Stored beside the agent id: where the daemon ran last, and its id before it was copied. `former`
 * is present until a start is complete.
 */
const place = z.object({
  machine: z.string(),
  folder: z.string(),
  former: former.optional(),
  formerIds: z.array(z.string()).default([]),
});

const WHAT = 'the state folder (state_dir)';

/**
 * Opens, or creates, the folder and takes its lock. The lock is on an open file, so it is released
 * when this process ends in any way. Fails with StateFolderBusy, StateFolderBroken, OwnFileError.
 */
export function openStateFolder(
  path: string,
  runner: ProcessRunner,
  identity: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  return ownFile(WHAT, path, () => openFolder(path, runner, identity));
}

async function openFolder(
  path: string,
  runner: ProcessRunner,
  identity: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  await makeFolder(path, 0o700);
  const realPath = await realpath(path);
  const lock = await open(join(realPath, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    if (!(await tryLock(lock, runner)))
      throw new StateFolderBusy(`another daemon works with the state folder ${realPath}`);
    return await lockedFolder(realPath, lock, identity);
  } catch (error) {
    await lock.close();
    throw error;
  }
}

async function lockedFolder(
  realPath: string,
  lock: FileHandle,
  identity: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  const known = await readAgentId(realPath);
  const before = known === undefined ? undefined : await readPlace(realPath);
  const here = { machine: identity.machine, folder: realPath, formerIds: before?.formerIds ?? [] };
  const why = known === undefined || before === undefined ? undefined : await whyCopied(known, before, here);
  const state: StateFolder = {
    realPath,
    agentId: known ?? (await newAgentId(realPath)),
    isNew: known === undefined,
    // A start that failed did not adapt the journal to this daemon.
    ...(before?.former === undefined ? {} : { former: before.former }),
    formerIds: here.formerIds,
    settled: () => (before?.former === undefined ? Promise.resolve() : writePlace(here)),
    release: () => lock.close(),
  };
  if (why !== undefined) return renew(state, why, identity);
  const now = { ...here, ...(before?.former === undefined ? {} : { former: before.former }) };
  if (!isDeepStrictEqual(now, before)) await writePlace(now);
  return state;
}

/**
 * The same folder with a new agent id, because the daemon with the old one may be running. Durable
 * when resolved. Fails with OwnFileError.
 */
export function renewed(
  state: StateFolder,
  why: string,
  identity: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  return ownFile(WHAT, state.realPath, () => renew(state, why, identity));
}

async function renew(
  state: StateFolder,
  why: string,
  { machine }: Pick<HostIdentity, 'machine'>,
): Promise<StateFolder> {
  const { realPath: folder, agentId } = state;
  const here = { machine, folder, formerIds: [...state.formerIds, agentId] };
  const old = { agentId, why };
  // Written before the id: the next start then knows that a new id is needed.
  await writePlace({ ...here, former: old });
  const fresh = await newAgentId(folder);
  return { ...state, agentId: fresh, former: old, formerIds: here.formerIds, settled: () => writePlace(here) };
}

type Place = z.infer<typeof place>;

/**
 * Why the folder is a copy of another one, whose daemon may be running; undefined: it is not known
 * to be a copy.
 */
async function whyCopied(agentId: string, before: Place, here: Place): Promise<string | undefined> {
  // The start that found the copy was ended before it wrote a new id.
  if (before.former?.agentId === agentId) return before.former.why;
  if (before.machine !== '' && here.machine !== '' && before.machine !== here.machine)
    return 'the state folder was made on another machine';
  if (before.folder === here.folder || (await isSame(before.folder, here.folder))) return undefined;
  const there = await readAgentId(before.folder).catch((error: unknown) => {
    const isNone = error instanceof StateFolderBroken || error instanceof OwnFileError || errnoOf(error) !== undefined;
    if (isNone) return undefined;
    throw error;
  });
  return there === agentId ? `the state folder is a copy of ${before.folder}` : undefined;
}

async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(notThere)));
  return a !== undefined && a.dev === b?.dev && a.ino === b.ino;
}

async function readPlace(folder: string): Promise<Place | undefined> {
  const text = await ownText(join(folder, 'place'));
  try {
    return text === undefined ? undefined : place.safeParse(JSON.parse(text)).data;
  } catch {
    // No daemon wrote that: where the folder was before is unknown.
    return undefined;
  }
}

/** Undefined: the folder has none yet. Fails with StateFolderBroken, OwnFileError. */
export async function readAgentId(folder: string): Promise<string | undefined> {
  const path = join(folder, 'agent-id');
  const id = (await ownText(path))?.trim();
  if (id !== undefined && !AGENT_ID.test(id))
    throw new StateFolderBroken(`${path} holds no agent id; remove it to get a new one`);
  return id;
}

function writePlace(here: Place): Promise<void> {
  return writeAtomically(join(here.folder, 'place'), JSON.stringify(here));
}

async function newAgentId(folder: string): Promise<string> {
  const id = randomBytes(6).toString('hex');
  await writeAtomically(join(folder, 'agent-id'), id);
  return id;
}

/** Content and name are durable when resolved. Fails with system errors. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** For a file in the folder: only ENOENT means that it does not exist. */
function notThere(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
}
