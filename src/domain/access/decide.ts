import { HostlerError } from '../model/errors.js';
import type { Identity } from './authority.js';
import { isHost, liesIn, type Role } from './role.js';
import type { Reason } from '../model/reasons/reasons.js';
import { isPlanted } from '../model/planted-faults.js';

/** The parts of a request that roles depend on. */
export interface AccessRequest {
  /** `ImageService` */
  readonly service: string;
  /** `CopyImage` */
  readonly method: string;
  /** `change`: changes the host, ends work of other callers, or shows content. */
  readonly access: 'read' | 'change';
  readonly places: readonly RequestedPlace[];
  /** Name of a configured command. */
  readonly command?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** The other host of a copy; empty: the RPC could have one, but the request has none. */
  readonly farEnd?: string;
  /** The requested path on the other host. */
  readonly far?: FarPlace;
}

/** An address on another host, and how that host is reached. */
export interface FarPlace extends RequestedPlace {
  readonly host: string;
  /** Unset: the user in the configuration. */
  readonly user?: string;
  /** True: through its agent, which checks this daemon's rights; false: by ssh. */
  readonly agent: boolean;
}

/** An address on this host, and the access that is needed. */
export interface RequestedPlace {
  readonly address: string;
  readonly need: 'read' | 'write';
}

/**
 * The role that allows the request, or the objection of each role; the error is that of the role
 * that comes closest.
 */
export type Decision =
  | { readonly role: Role }
  | { readonly refused: HostlerError; readonly objections: readonly { readonly role: string; readonly why: string }[] };

interface Objection {
  readonly reason: Reason;
  readonly why: string;
  readonly path?: string;
}

/** A single role must allow the whole request: rights of several roles are not combined. */
export function decide(identity: Identity, attempt: AccessRequest): Decision {
  const objections: { readonly role: string; readonly objection: Objection }[] = [];
  for (const role of identity.roles) {
    const objection = objectionOf(role, identity, attempt);
    if (objection === undefined || isPlanted('denied-call-allowed')) return { role };
    objections.push({ role: role.name, objection });
  }
  const closest = objections.find(({ objection }) => objection.reason !== 'METHOD_NOT_ALLOWED') ?? objections[0];
  const { reason, why, path } = closest?.objection ?? { reason: 'METHOD_NOT_ALLOWED', why: 'the caller has no role' };
  const facts = {
    caller: identity.name,
    rpc: `${attempt.service}/${attempt.method}`,
    ...(closest === undefined ? {} : { role: closest.role }),
    ...(path === undefined ? {} : { path }),
  };
  return {
    refused: new HostlerError(reason, `${identity.name} may not ${attempt.method}: ${why}`, { facts }),
    objections: objections.map(({ role, objection }) => ({ role, why: objection.why })),
  };
}

function objectionOf(role: Role, identity: Identity, attempt: AccessRequest): Objection | undefined {
  const { method, service, access, command, labels = {}, farEnd, far } = attempt;
  const named =
    role.services.includes(service) || role.methods.includes(method) || (role.readOnly && access === 'read');
  if (!named) return notAllowed(`role ${role.name} does not name it`);
  if (command !== undefined && role.commands !== 'all' && !role.commands.includes(command))
    return notAllowed(`role ${role.name} does not name the command ${command}`);
  const wrong = Object.entries(role.labels).find(([key, value]) => (labels[key] ?? value) !== value);
  if (wrong !== undefined) return notAllowed(`role ${role.name} is for the label ${wrong.join('=')} only`);
  if (role.farEndIsCaller && farEnd !== undefined && !isSelf(farEnd, identity))
    return notAllowed(`the far end is ${farEnd === '' ? 'nobody' : farEnd}, not the caller`);
  const farther = far === undefined ? undefined : objectionToFar(far, role);
  if (farther !== undefined) return farther;
  return attempt.places.flatMap((place) => objectionTo(place, role) ?? [])[0];
}

/**
 * Deny by default: the daemon's ssh key opens remote hosts, which a right to copy does not include.
 * One entry must allow the whole request.
 */
function objectionToFar({ host, user, agent, address, need }: FarPlace, role: Role): Objection | undefined {
  if (role.farEndIsCaller && !agent) return notAllowed(`role ${role.name} is for agents, not for ssh`);
  if (role.remote === 'all') return undefined;
  const hosts = role.remote.filter((place) => isHost(host, place));
  if (hosts.length === 0) return notAllowed(`role ${role.name} does not name the host ${host}`);
  const logins = hosts.filter(({ users }) => user === undefined || users.includes(user));
  if (logins.length === 0) return notAllowed(`role ${role.name} does not name the login ${user ?? ''} of ${host}`);
  const objections = logins.map((places) => objectionTo({ address, need }, { ...places, name: role.name }));
  if (objections.includes(undefined)) return undefined;
  const [first] = objections;
  return first === undefined ? undefined : { ...first, why: `${first.why} on ${host}`, path: `${host}:${address}` };
}

/**
 * Why a role may not access an address, textual or real. @param path the address as the role's
 * callers know it
 */
export function objectionTo(
  { address, need }: RequestedPlace,
  role: Pick<Role, 'name' | 'read' | 'write'>,
  path: string = address,
): Objection | undefined {
  if (liesIn(address, role.write)) return undefined;
  if (!liesIn(address, role.read))
    return { reason: 'PATH_OUTSIDE_ROOTS', why: `${path} lies outside the places of role ${role.name}`, path };
  if (need === 'read') return undefined;
  return { reason: 'ROOT_READ_ONLY', why: `${path} may only be read by role ${role.name}`, path };
}

function notAllowed(why: string): Objection {
  return { reason: 'METHOD_NOT_ALLOWED', why };
}

/** Whether a host is the caller itself, by an identity with its type (`dns:host-b`) or without. */
function isSelf(host: string, { name }: Identity): boolean {
  return host !== '' && (host === name || host === name.slice(name.indexOf(':') + 1));
}
