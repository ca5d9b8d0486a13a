/** Part of the composition root: who may call, as the configuration says. */
import { realpath } from 'node:fs/promises';
import { speaksTls } from './adapters/access-config.js';
import { ConfigError, type Config } from './adapters/config.js';
import { errorText, type Log } from './adapters/log.js';
import { Owners } from './adapters/owners.js';
import type { ProcessRunner } from './adapters/process.js';
import { Authority } from './domain/access/authority.js';
import { BUILT_IN, roleOf, type Role } from './domain/access/role.js';
import { asHostlerError } from './domain/errors.js';
import { Certificates } from './server/certificates.js';
import type { ListenerOptions } from './server/server.js';

/** Addresses to listen on. Fails with ConfigError. */
export async function listenersOf(config: Config, runner: ProcessRunner): Promise<ListenerOptions[]> {
  const roles = await rolesOf(config);
  const owners = new Owners(runner);
  const plain = config.server.listen.map((address) => ({ address, mode: '0660' }));
  return Promise.all(
    [...plain, ...config.listeners].map(async (given: Config['listeners'][number]) => {
      const { address } = given;
      const unix = address.startsWith('unix:');
      const role = roleNamed(given.role ?? (unix ? 'admin' : config.server.loopback_role), roles);
      return {
        address,
        tls: speaksTls(given, config),
        identity: { name: identityName(address, config), roles: [role] },
        socketOwner: {
          mode: Number.parseInt(given.mode, 8),
          ...(await idOf(owners, 'owner', given.owner)),
          ...(await idOf(owners, 'group', given.group)),
        },
      };
    }),
  );
}

/** Whom the configuration names. */
export async function authorityOf(config: Config): Promise<Authority> {
  const roles = await rolesOf(config);
  return new Authority(
    await Promise.all(
      config.callers.map(async ({ name, role, read, write }) => ({
        name,
        roles: [roleNamed(role, roles)],
        ...(read === undefined ? {} : { read: await placesOf(read) }),
        ...(write === undefined ? {} : { write: await placesOf(write) }),
      })),
    ),
  );
}

/** Fails with TlsFilesBroken. */
export async function certificatesOf({ tls }: Config, log: Log): Promise<Certificates | undefined> {
  if (tls === undefined) return undefined;
  const { crl, ...paths } = tls;
  return Certificates.open(
    { ...paths, ...(crl === undefined ? {} : { crl }) },
    {
      reloaded: () => log.info('certificates were read again', paths),
      failed: (cause) =>
        log.error('certificates could not be read again: the old ones stay', { ...paths, cause: errorText(cause) }),
    },
  );
}

/** In the clear there is no name to know a caller by: the place where it calls is its name. */
function identityName(address: string, { server }: Config): string {
  if (!server.listen.includes(address)) return address.replace('://', ':');
  return address.startsWith('unix:') ? 'local' : 'loopback';
}

async function rolesOf({ roles }: Config): Promise<ReadonlyMap<string, Role>> {
  const own = await Promise.all(
    Object.entries(roles).map(async ([name, { read_only, read, write, ...rest }]) =>
      roleOf(name, { ...rest, readOnly: read_only, read: await placesOf(read), write: await placesOf(write) }),
    ),
  );
  return new Map([...Object.values(BUILT_IN), ...own].map((role) => [role.name, role]));
}

function roleNamed(name: string, roles: ReadonlyMap<string, Role>): Role {
  const role = roles.get(name);
  if (role === undefined) throw new ConfigError(`there is no role ${name}`);
  return role;
}

/** Places by the names that were given and, where those lead through links, by their real ones. */
async function placesOf(places: readonly string[]): Promise<string[]> {
  const real = await Promise.all(
    // What is not there now has no other name.
    places.filter((place) => place.startsWith('/')).map((place) => realpath(place).catch(() => place)),
  );
  return [...new Set([...places, ...real])];
}

async function idOf(owners: Owners, kind: 'owner' | 'group', name: string | undefined) {
  if (name === undefined) return {};
  const run = { signal: new AbortController().signal, onChild: () => undefined };
  try {
    const id = await owners.id(kind, name, run, `listeners.${kind}`);
    return kind === 'owner' ? { uid: id } : { gid: id };
  } catch (error) {
    throw new ConfigError(asHostlerError(error).message);
  }
}
