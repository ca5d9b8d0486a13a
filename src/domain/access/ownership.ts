import type { Caller } from './caller.js';
import { liesIn, type Role } from './role.js';

type Asker = Pick<Caller, 'identity' | 'grant'>;

/** The properties of an operation that decide who may see it. */
interface Owned {
  readonly caller: string;
  readonly labels: Labels;
  /** The labels of each operation that shares it. */
  readonly waiters?: readonly Labels[];
  readonly addresses: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/**
 * Whether an operation has all of these labels. One that others share has those of each of them,
 * but not some of one and some of another.
 */
export function hasLabels({ labels, waiters = [labels] }: Pick<Owned, 'labels' | 'waiters'>, wanted: Labels): boolean {
  return waiters.some((each) => Object.entries(wanted).every(([key, value]) => each[key] === value));
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

function isInSight(operation: Owned, grant: Role): boolean {
  const { addresses } = operation;
  return (
    hasLabels(operation, grant.labels) &&
    // What names no place is in sight of those alone who see them all.
    (addresses.length > 0 || grant.read === 'all' || grant.write === 'all') &&
    addresses.every((address) => liesIn(address, grant.read) || liesIn(address, grant.write))
  );
}
