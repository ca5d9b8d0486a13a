import { HostlerError } from '../model/errors.js';
import type { Places, Role } from './role.js';

/** A caller that the configuration names. */
export interface KnownCaller {
  /** As in certificates, typed: `uri:…`, `dns:…`, `cn:…`. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Instead of the roles' own places. */
  readonly read?: Places;
  readonly write?: Places;
}

/** Who it is, and in which roles. */
export interface Identity {
  readonly name: string;
  /** None: may do nothing. */
  readonly roles: readonly Role[];
}

/** Knows who may do what. Replaced whole when the configuration is read again. */
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
   * The first of a certificate's names that the configuration knows; else the first, without a
   * role.
   */
  identify(names: readonly string[]): Identity {
    const known = names.flatMap((name) => this.#known.get(name) ?? [])[0];
    const [first] = names;
    if (known !== undefined) return known;
    if (first === undefined) throw new HostlerError('NOT_AUTHENTICATED', 'the certificate names nobody');
    return { name: first, roles: [] };
  }
}
