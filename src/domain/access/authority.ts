import { HostlerError } from '../model/errors.js';
import type { Places, Role } from './role.js';

/** A caller in the configuration. */
export interface KnownCaller {
  /** A typed name from a certificate: `uri:…`, `dns:…`, `cn:…`. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Replaces the places of the roles. */
  readonly read?: Places;
  readonly write?: Places;
}

/** A caller's name and roles. */
export interface Identity {
  readonly name: string;
  /** Empty: the caller may do nothing. */
  readonly roles: readonly Role[];
}

/** Decides what callers may do. Replaced as a whole when the configuration is reloaded. */
export class Authority {
  readonly #known: ReadonlyMap<string, Identity>;

  constructor(callers: readonly KnownCaller[]) {
    this.#known = new Map(
      callers.map(({ name, roles, read, write }) => [
        name,
        {
          name,
          roles: roles.map((role) => ({
            ...role,
            ...(read === undefined ? {} : { read }),
            ...(write === undefined ? {} : { write }),
          })),
        },
      ]),
    );
  }

  /**
   * The first of a certificate's names that the configuration knows; otherwise the first name,
   * without a role.
   */
  identify(names: readonly string[]): Identity {
    const known = names.flatMap((name) => this.#known.get(name) ?? [])[0];
    const [first] = names;
    if (known !== undefined) return known;
    if (first === undefined) throw new HostlerError('NOT_AUTHENTICATED', 'the certificate names nobody');
    return { name: first, roles: [] };
  }
}
