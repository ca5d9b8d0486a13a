/** The part of `hostlerd --check-config` about what others have: addresses, folders, a cache. */
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Config } from '../adapters/config/config.js';
import { isLocked } from '../adapters/owned/flock.js';
import { describeOwner, ownerOf, OWNER_FILE } from '../adapters/owned/owner-file.js';
import { readAgentId } from '../adapters/owned/state-folder.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { whyRefused } from '../domain/model/own-files.js';

const TCP = 'tcp://';

/**
 * One problem for each address, root and cache that two would have. A daemon that already runs with
 * this state folder counts as this one.
 */
export async function takenTwice(config: Config, runner: ProcessRunner): Promise<readonly string[]> {
  // A state folder that cannot be read is reported as a problem of the folder.
  const runs = await isLocked(join(config.state_dir, 'lock'), runner).catch(() => false);
  const found = await Promise.all([
    sameRoots(config),
    cacheOfOthers(config, runner),
    ...(runs ? [] : [...new Set(portsOf(config))].map(takenPort)),
  ]);
  return [...sameAddresses(config), ...found.filter((problem) => problem !== undefined)];
}

/** HOST:PORT of each, as the configuration has it. */
function portsOf({ server, listeners }: Config): string[] {
  const tcp = [...server.listen, ...listeners.map(({ address }) => address)]
    .filter((address) => address.startsWith(TCP))
    .map((address) => address.slice(TCP.length));
  return server.http === '' ? tcp : [...tcp, server.http];
}

function sameAddresses({ server, listeners, ...config }: Config): string[] {
  const sockets = [...server.listen, ...listeners.map(({ address }) => address)].filter(
    (each) => !each.startsWith(TCP),
  );
  const all = [...sockets, ...portsOf({ server, listeners, ...config })];
  const twice = new Set(all.filter((address, at) => all.indexOf(address) !== at));
  return [...twice].map((address) => `two of server.listen, server.http and listeners have the address ${address}`);
}

async function takenPort(address: string): Promise<string | undefined> {
  const at = address.lastIndexOf(':');
  const server = createServer();
  try {
    server.listen({ host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) });
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return `cannot listen on ${address}: ${whyRefused(error) ?? String(error)}`;
  } finally {
    server.close();
  }
}

async function sameRoots({ roots }: Config): Promise<string | undefined> {
  const known = new Map<string, string>();
  for (const { path } of roots) {
    // A path that cannot be read is reported as a problem of the root.
    const found = await stat(path).catch(() => undefined);
    const key = found === undefined ? path : `${String(found.dev)}:${String(found.ino)}`;
    const other = known.get(key);
    if (other !== undefined) return `the roots ${other} and ${path} are the same folder`;
    known.set(key, path);
  }
  return undefined;
}

async function cacheOfOthers({ cache, state_dir: state }: Config, runner: ProcessRunner): Promise<string | undefined> {
  if (cache.path === undefined) return undefined;
  try {
    const [owner, agent] = await Promise.all([ownerOf(cache.path), readAgentId(state)]);
    if (owner === undefined || owner.agent === agent) return undefined;
    if (!(await isLocked(join(cache.path, OWNER_FILE), runner))) return undefined;
    return `cache.path: the folder ${cache.path} is in use by ${describeOwner(owner)}; name a folder of its own`;
  } catch (error) {
    return `the cache folder (cache.path) cannot be used: ${whyRefused(error) ?? String(error)}`;
  }
}
