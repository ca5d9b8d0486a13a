/**
 * Part of the command's composition root: explains a decision of the daemon, from its configuration
 * and with its own functions.
 */
import { type Config } from '../adapters/config/config.js';
import { identify } from './callers.js';
import type { AuthQuestion, AuthVerdict } from '../cli/commands/auth-command.js';
import { decide, type AccessRequest, type RequestedPlace } from '../domain/access/decide.js';
import { isBelow, isRbd, parseRbdName } from '../domain/model/address.js';
import { farEndOf } from '../handlers/access-request.js';
import { RPC_TABLE, type RpcRow } from '../handlers/rpc-table.js';
import { loadConfig } from './load-config.js';

/** Undefined if there is no such RPC. Fails with ConfigError. */
export async function authCheck(question: AuthQuestion): Promise<AuthVerdict | undefined> {
  const found = findRow(question.method);
  if (found === undefined) return undefined;
  const config = await loadConfig(question.config);
  const identity = await identify(question.as, config);
  const { service, method, row } = found;
  const away = row.far !== undefined && question.farEnd !== undefined ? question.farSide : undefined;
  const places = placesFor(row, question.paths).filter(({ field }) => field !== away);
  const { farEnd, farUser: user } = question;
  const farPlace = placesFor(row, question.paths).find(({ field }) => field === away);
  const attempt: AccessRequest = {
    service,
    method,
    access: row.access,
    places: places.map(({ address, need }) => ({ address, need })),
    labels: question.labels,
    ...(row.command === undefined || question.command === undefined ? {} : { command: question.command }),
    ...(farPlace === undefined || farEnd === undefined
      ? {}
      : { far: { ...farPlace, host: farEnd, agent: question.farAgent, ...(user === undefined ? {} : { user }) } }),
    ...farEndOf(row, farEnd),
  };
  const decision = decide(identity, attempt);
  const refusal = 'refused' in decision ? decision.refused.message : undefined;
  const role = 'role' in decision ? decision.role.name : '';
  const unfit = places.flatMap((place) => whyUnfit(place, role, config) ?? [])[0];
  return {
    allowed: (refusal ?? unfit) === undefined,
    identity: identity.name,
    roles: identity.roles.map(({ name }) => name),
    rpc: `${service}/${method}`,
    places,
    why: refusal ?? unfit ?? `role ${role} allows it`,
    objections: 'objections' in decision ? decision.objections : [],
  };
}

/**
 * The daemon's objection to a place that the role may use: a root or pool must exist, be open to
 * the role, and be writable.
 */
function whyUnfit({ address, need }: RequestedPlace, role: string, { roots, pools }: Config): string | undefined {
  if (isRbd(address)) {
    const name = parseRbdName(address);
    if ('problem' in name) return `${address}: ${name.problem}`;
    const pool = pools.find((each) => each.name === name.pool);
    if (pool === undefined) return `${address}: no pool ${name.pool} is configured`;
    if (pool.roles?.includes(role) === false) return `${address} is not for role ${role}`;
    return need === 'write' && pool.access === 'read-only' ? `${address} is in a pool that is read-only` : undefined;
  }
  // Of nested roots the inner one counts.
  const [root] = roots
    .filter(({ path }) => isBelow(address, path))
    .sort((one, other) => other.path.length - one.path.length);
  if (root === undefined) return `${address} lies outside the configured roots`;
  return need === 'write' && root.access === 'read-only' ? `${address} is in a root that is read-only` : undefined;
}

/** `CopyImage`, `ImageService/CopyImage` or `hostler.v1.ImageService/CopyImage`. */
function findRow(name: string): { service: string; method: string; row: RpcRow } | undefined {
  const wanted = name.replace(/^hostler\.v1\./, '');
  for (const [service, rows] of Object.entries(RPC_TABLE))
    for (const [key, row] of Object.entries(rows)) {
      const method = `${key.charAt(0).toUpperCase()}${key.slice(1)}`;
      if (wanted === method || wanted === `${service}/${method}` || wanted === `${service}.${method}`)
        return { service, method, row };
    }
  return undefined;
}

/**
 * A single path is used for every address of the request; several are used for the addresses in
 * their order.
 */
function placesFor({ addresses }: RpcRow, paths: readonly string[]): (RequestedPlace & { field: string })[] {
  return Object.entries(addresses).flatMap(([field, need], index) => {
    const address = paths.length === 1 ? paths[0] : paths[index];
    return address === undefined ? [] : [{ field, need, address }];
  });
}
