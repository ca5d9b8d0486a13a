import { AsyncLocalStorage } from 'node:async_hooks';
import { HostlerError } from '../errors.js';
import { objectionTo, type Place } from './decide.js';
import type { Role } from './role.js';

/**
 * What the call at work may touch, asked where a path has been resolved to a real one: behind links, and for every layer that a
 * header names. It goes beside the call and whatever the call starts, and through no signature, so that no verb can forget it. What the daemon does for
 * itself may touch everything.
 */
export class Reach {
  readonly #roles = new AsyncLocalStorage<Role>();

  within<T>(role: Role, work: () => T): T {
    return role.read === 'all' && role.write === 'all' ? work() : this.#roles.run(role, work);
  }

  /** Fails with PATH_OUTSIDE_ROOTS, ROOT_READ_ONLY. */
  assert(place: Place): void {
    const objection = this.#objectionTo(place);
    if (objection === undefined) return;
    const { reason, why, path } = objection;
    throw new HostlerError(reason, why, { facts: path === undefined ? {} : { path } });
  }

  allows(place: Place): boolean {
    return this.#objectionTo(place) === undefined;
  }

  #objectionTo(place: Place) {
    const role = this.#roles.getStore();
    return role === undefined ? undefined : objectionTo(place, role);
  }
}
