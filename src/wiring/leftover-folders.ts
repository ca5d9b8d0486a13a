/**
 * `hostlerd --list-folders` and `--remove-folders-of`: private folders in the roots whose daemon is
 * gone. They need no running daemon.
 */
import { join } from 'node:path';
import type { Config } from '../adapters/config/config.js';
import { errnoOf } from '../adapters/linux/errno.js';
import { LockQuery } from '../adapters/gates/lock-query.js';
import { AgentLocks, type Life } from '../adapters/owned/agent-locks.js';
import { countIn, walkPrivateFolders, type Leftovers, type PrivateFolder } from '../adapters/owned/private-walk.js';
import { removePrivateFolder } from '../adapters/paths/private-folders.js';
import type { Root } from '../adapters/paths/roots.js';
import { AGENT_ID } from '../adapters/owned/state-folder.js';
import { openFileRoots } from './folders.js';
import { LEFT_FILE, readLeft } from './sweep.js';
import { ownFile } from '../domain/model/own-files.js';
import { ownText } from '../file-io/own-text.js';

/** Nothing was removed, or not everything. */
export class LeftoverError extends Error {
  override readonly name = 'LeftoverError';
}

const LIVES: Readonly<Record<Life, string>> = { lives: 'lives', ended: 'has ended', unknown: 'cannot be asked' };

/**
 * Prints a line for each agent: id, folders, bytes, the oldest, and whether its daemon is running.
 */
export async function listFolders(config: Config): Promise<void> {
  const roots = await openFileRoots(config);
  const locks = new AgentLocks(roots, LockQuery.load());
  const counted = new Map<string, Leftovers>();
  const lives = new Map<string, Life>();
  await walk(roots, async (folder) => {
    await countIn(counted, folder);
    lives.set(
      folder.agentId,
      worse(lives.get(folder.agentId) ?? 'ended', locks.lifeIn(folder.parentPath, folder.agentId)),
    );
  });
  for (const { agent, count, bytes, oldestMs } of counted.values()) {
    const life = LIVES[lives.get(agent) ?? 'unknown'];
    process.stdout.write(
      `agent ${agent}  ${String(count)} folders  ${String(bytes)} bytes  since ${new Date(oldestMs).toISOString()}  ${life}\n`,
    );
  }
}

/**
 * Removes the private folders of one agent, unless its daemon is running. For this state folder's
 * own agent only those that were left after its journal was lost. Fails with LeftoverError.
 */
export async function removeFoldersOf(config: Config, agentId: string, force: boolean): Promise<void> {
  const roots = await openFileRoots(config);
  const locks = new AgentLocks(roots, LockQuery.load());
  if (!AGENT_ID.test(agentId)) throw new LeftoverError(`'${agentId}' is no agent id: see --list-folders`);
  const left = (await ownAgentId(config.state_dir)) === agentId ? await ownLeft(config.state_dir) : undefined;
  const isMeant = (folder: PrivateFolder) =>
    folder.agentId === agentId && (left === undefined || left.has(folder.operationId));
  // All are checked first: nothing is removed if one of them shows that the daemon is running.
  let life = roots.map(({ realPath }) => locks.lifeIn(realPath, agentId)).reduce(worse, 'ended');
  const look = (folder: PrivateFolder) => {
    if (isMeant(folder)) life = worse(life, locks.lifeIn(folder.parentPath, agentId));
    return Promise.resolve();
  };
  await walk(roots, look, force);
  if (life === 'lives') throw new LeftoverError(`the agent ${agentId} lives: nothing is removed`);
  if (life === 'unknown' && !force)
    throw new LeftoverError(
      `nobody can tell whether the agent ${agentId} lives, on this host or on another one: nothing is removed; when it does not, say --force`,
    );
  const remove = async (folder: PrivateFolder) => {
    if (!isMeant(folder)) return;
    for (const path of await removePrivateFolder(folder.parent, folder.name, folder.parentPath))
      process.stdout.write(`removed ${path}\n`);
  };
  await walk(roots, remove, force);
}

/** @param force continue although something cannot be read */
async function walk(
  roots: readonly Root[],
  visit: (folder: PrivateFolder) => Promise<void>,
  force = false,
): Promise<void> {
  const failures: string[] = [];
  await walkPrivateFolders(roots, {
    visit,
    failed(path, cause) {
      failures.push(`${path}: ${errnoOf(cause) ?? String(cause)}`);
    },
  });
  if (failures.length > 0 && !force) throw new LeftoverError(`not all could be looked at:\n${failures.join('\n')}`);
}

function worse(one: Life, other: Life): Life {
  if (one === 'lives' || other === 'lives') return 'lives';
  return one === 'unknown' ? one : other;
}

async function ownLeft(stateFolder: string): Promise<ReadonlySet<string>> {
  const left = await readLeft(stateFolder);
  if (left !== undefined) return left;
  throw new LeftoverError(
    `${join(stateFolder, LEFT_FILE)} cannot be read: nothing is removed; the next start of the daemon makes it again`,
  );
}

async function ownAgentId(stateFolder: string): Promise<string | undefined> {
  const text = await ownFile('the state folder (state_dir)', stateFolder, () => ownText(join(stateFolder, 'agent-id')));
  return text?.trim();
}
