import type { Caller } from './caller.js';
import { liesIn, type Role } from './role.js';

type Asker = Pick<Caller, 'identity' | 'grant'>;

/** The properties of an operation that decide who may see it. */
interface Owned {
  readonly caller: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
}

/**
 * An operation belongs to its caller: others see it by role only, and only where they could have
 * looked themselves.
 */
export function maySee(operation: Owned, { identity, grant }: Asker): boolean {
  return operation.caller === identity || (grant.operations !== 'own' && isInSight(operation, grant));
}

/**
 * Whether the caller may cancel: its own operations always, those of others if its role manages all
 * operations and covers their labels and paths.
 */
export function mayCancel(operation: Owned, { identity, grant }: Asker): boolean {
  return operation.caller === identity || (grant.operations === 'all' && isInSight(operation, grant));
}

function isInSight({ labels, addresses }: Owned, grant: Role): boolean {
  return (
    Object.entries(grant.labels).every(([key, value]) => labels[key] === value) &&
    // What names no place is in sight of those alone who see them all.
    (addresses.length > 0 || grant.read === 'all' || grant.write === 'all') &&
    addresses.every((address) => liesIn(address, grant.read) || liesIn(address, grant.write))
  );
}
