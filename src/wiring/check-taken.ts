/**
 * The part of `hostlerd --check-config` about what others have: addresses, folders, a cache. Two
 * roots that are the same folder do not stop the start, but then it depends on the path whether the
 * folder is trusted or read-only.
 */
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Config } from '../adapters/config/config.js';
import { isLocked } from '../adapters/owned/flock.js';
import { describeOwner, ownerOf, OWNER_FILE } from '../adapters/owned/owner-file.js';
import type { PathLooks } from '../adapters/gates/path-looks.js';
import { readAgentId } from '../adapters/owned/state-folder.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { HostlerError } from '../domain/model/errors.js';
import { whyRefused } from '../domain/model/own-files.js';

const TCP = 'tcp://';

/**
 * One problem for each address, root and cache that two would have. A daemon that already runs with
 * this state folder counts as this one.
 */
export async function takenTwice(config: Config, runner: ProcessRunner, looks: PathLooks): Promise<readonly string[]> {
  const lock = join(config.state_dir, 'lock');
  // A folder that cannot be read, or does not answer, is reported as a problem of the folder.
  const runs = await looks.ask(lock, () => isLocked(lock, runner)).catch(() => false);
  const found = await Promise.all([
    sameRoots(config, looks),
    cacheOfOthers(config, runner, looks),
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

async function sameRoots({ roots }: Config, looks: PathLooks): Promise<string | undefined> {
  const folders = await Promise.all(
    // A path that cannot be read, or does not answer, is reported as a problem of the root.
    roots.map(({ path }) => looks.ask(path, (at) => stat(at)).catch(() => undefined)),
  );
  const known = new Map<string, string>();
  for (const [index, { path }] of roots.entries()) {
    const found = folders[index];
    const key = found === undefined ? path : `${String(found.dev)}:${String(found.ino)}`;
    const other = known.get(key);
    if (other !== undefined) return `the roots ${other} and ${path} are the same folder`;
    known.set(key, path);
  }
  return undefined;
}

async function cacheOfOthers(
  { cache: { path }, state_dir: state }: Config,
  runner: ProcessRunner,
  looks: PathLooks,
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const agent = await looks.ask(state, () => readAgentId(state));
    return await looks.ask(path, async () => {
      const owner = await ownerOf(path);
      if (owner === undefined || owner.agent === agent) return undefined;
      if (!(await isLocked(join(path, OWNER_FILE), runner))) return undefined;
      return `cache.path: the folder ${path} is in use by ${describeOwner(owner)}; name a folder of its own`;
    });
  } catch (error) {
    // A folder that does not answer is reported as a problem of the folder.
    if (error instanceof HostlerError) return undefined;
    return `the cache folder (cache.path) cannot be used: ${whyRefused(error) ?? String(error)}`;
  }
}
