/** Part of the composition root: the callers in the configuration. */
import { realpath } from 'node:fs/promises';
import { speaksTls } from '../adapters/config/access-config.js';
import { ConfigError, type Config } from '../adapters/config/config.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import { Owners } from '../adapters/files/owners.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { Authority, type Identity } from '../domain/access/authority.js';
import { BUILT_IN, roleOf, type Role } from '../domain/access/role.js';
import { asHostlerError } from '../domain/model/errors.js';
import { OwnFileError } from '../domain/model/own-files.js';
import { TlsFilesBroken } from '../protocol/certificate-files.js';
import { Certificates } from '../server/certificates.js';
import type { ListenerOptions } from '../server/server.js';
import { loadConfig } from './load-config.js';
import { changedSettings } from './reload.js';
import { plainRun } from '../domain/ports/tools.js';

/** Addresses to listen on. Fails with ConfigError. */
export async function listenersOf(config: Config, runner: ProcessRunner): Promise<ListenerOptions[]> {
  const roles = await rolesOf(config);
  const owners = new Owners(runner);
  return Promise.all(
    allListeners(config).map(async (given) => {
      const { address } = given;
      return {
        address,
        tls: speaksTls(given, config),
        identity: clearIdentity(given, config, roles),
        socketOwner: {
          mode: Number.parseInt(given.mode, 8),
          ...(await idOf(owners, 'owner', given.owner)),
          ...(await idOf(owners, 'group', given.group)),
        },
      };
    }),
  );
}

/**
 * A caller by name: from a certificate, or the identity of an address without TLS, such as `local`.
 */
export async function identify(name: string, config: Config): Promise<Identity> {
  const roles = await rolesOf(config);
  const clear = allListeners(config)
    .filter((given) => !speaksTls(given, config))
    .map((given) => clearIdentity(given, config, roles));
  return clear.find((identity) => identity.name === name) ?? (await authorityOf(config)).identify([name]);
}

function allListeners({ server, listeners }: Config): Config['listeners'] {
  return [...server.listen.map((address) => ({ address, mode: '0660' })), ...listeners];
}

/** Without TLS callers have no names: the address that they call is their identity. */
function clearIdentity(
  { address, role }: Config['listeners'][number],
  { server }: Config,
  roles: ReadonlyMap<string, Role>,
): Identity {
  const unix = address.startsWith('unix:');
  const usual = unix ? 'local' : 'loopback';
  return {
    name: server.listen.includes(address) ? usual : address.replace('://', ':'),
    roles: [roleNamed(role ?? (unix ? 'admin' : server.loopback_role), roles)],
  };
}

/** The authority built from the configuration. */
async function authorityOf(config: Config): Promise<Authority> {
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

/**
 * The current authority; `reload` reads the file again, and keeps the old one if the file cannot be
 * used.
 */
export async function reloadingAuthority(config: Config, file: string, log: Log) {
  let current = await authorityOf(config);
  let taking: Pick<Config, 'callers' | 'roles'> = config;
  return {
    current: () => current,
    async reload(): Promise<void> {
      try {
        const now = await loadConfig(file);
        current = await authorityOf(now);
        const { taken, needsRestart } = changedSettings(
          { ...config, callers: taking.callers, roles: taking.roles },
          now,
        );
        taking = now;
        log.info('callers and roles were read again', { file, taken });
        if (needsRestart.length > 0)
          log.warn('changed settings take effect at the next start', { file, needs_restart: needsRestart });
      } catch (cause) {
        log.error('callers and roles could not be read again: the old ones stay', { file, cause: whyNot(cause) });
      }
    },
  };
}

/** A stack is no help where the file of an operator is wrong: the message says what and where. */
function whyNot(cause: unknown): string | undefined {
  const isOperators = [ConfigError, OwnFileError, TlsFilesBroken].some((kind) => cause instanceof kind);
  return isOperators && cause instanceof Error ? cause.message : errorText(cause);
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
        log.error('certificates could not be read again: the old ones stay', { ...paths, cause: whyNot(cause) }),
    },
  );
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

/** Places by the given names and, if those lead through links, also by their real paths. */
async function placesOf(places: readonly string[]): Promise<string[]> {
  const real = await Promise.all(
    // A path that does not exist now has no other name.
    places.filter((place) => place.startsWith('/')).map((place) => realpath(place).catch(() => place)),
  );
  return [...new Set([...places, ...real])];
}

async function idOf(owners: Owners, kind: 'owner' | 'group', name: string | undefined) {
  if (name === undefined) return {};
  const run = plainRun();
  try {
    const id = await owners.id(kind, name, run, `listeners.${kind}`);
    return kind === 'owner' ? { uid: id } : { gid: id };
  } catch (error) {
    throw new ConfigError(`${asHostlerError(error).message}: ${name}`);
  }
}
