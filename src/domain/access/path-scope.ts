import { AsyncLocalStorage } from 'node:async_hooks';
import { isBelow } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import { objectionTo, type RequestedPlace } from './decide.js';
import { isHost, liesIn, type Places, type Role } from './role.js';

/**
 * The paths that the current call may access, checked once a path has been resolved to a real one:
 * behind links, and for every layer that a header names. It is carried in async context, not in
 * signatures, so that no verb can forget it. Work of the daemon itself may access everything.
 */
export class PathScope {
  readonly #roles = new AsyncLocalStorage<Role>();

  /** @param byName access depends on the roles that an object names, whatever their places are */
  constructor(private readonly byName = false) {}

  within<T>(role: Role, work: () => T): T {
    const everywhere = role.read === 'all' && role.write === 'all' && role.remote === 'all' && !this.byName;
    return everywhere ? work() : this.#roles.run(role, work);
  }

  /** An object that names no roles is open to all. Fails with PATH_OUTSIDE_ROOTS. */
  assertNamed(roles: readonly string[] | undefined, path: string): void {
    if (this.isNamed(roles)) return;
    throw new HostlerError('PATH_OUTSIDE_ROOTS', `${path} is not for the role of the caller`, { facts: { path } });
  }

  isNamed(roles: readonly string[] | undefined): boolean {
    const role = this.#roles.getStore();
    return roles === undefined || role === undefined || roles.includes(role.name);
  }

  /** Whether the role covers a place, or something below it. */
  touches(place: string): boolean {
    const role = this.#roles.getStore();
    if (role === undefined) return true;
    return [role.read, role.write].some(
      (places) => liesIn(place, places) || (places !== 'all' && places.some((each) => isBelow(each, place))),
    );
  }

  /** The places that the role may see; `all`: everywhere. */
  get inSight(): Places {
    const role = this.#roles.getStore();
    if (role === undefined || role.read === 'all' || role.write === 'all') return 'all';
    return [...new Set([...role.read, ...role.write])];
  }

  /**
   * The folders on a remote host that must contain the real paths of its files; `all`: anywhere.
   */
  farPlaces({ host, user }: { readonly host: string; readonly user?: string }, need: RequestedPlace['need']): Places {
    const remote = this.#roles.getStore()?.remote ?? 'all';
    if (remote === 'all') return 'all';
    return remote
      .filter((places) => isHost(host, places) && (user === undefined || places.users.includes(user)))
      .flatMap(({ read, write }) => (need === 'read' ? [...read, ...write] : write));
  }

  /**
   * The error names the address as written: a caller without access must not learn where it really
   * leads. Fails with PATH_OUTSIDE_ROOTS, ROOT_READ_ONLY.
   */
  assert(place: RequestedPlace, written: string = place.address): void {
    const objection = this.#objectionTo(place, written);
    if (objection === undefined) return;
    throw new HostlerError(objection.reason, objection.why, { facts: { path: written } });
  }

  allows(place: RequestedPlace): boolean {
    return this.#objectionTo(place) === undefined;
  }

  #objectionTo(place: RequestedPlace, written?: string) {
    const role = this.#roles.getStore();
    return role === undefined ? undefined : objectionTo(place, role, written);
  }
}
